#pragma once

// A whole file at once, for fibers: the file system's work is done by other threads, as that of a File (file.h).
//
//     const Settings settings = parse(co::read_file("/etc/app.json", 1 << 20));
//     co::write_file_atomically("/var/lib/app/state.json", text);

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "mothreads/until.h"

namespace cooperative::inline v0 {

// All that is in a file. Throws TooLong when that is more than `max`; IoError, also for a path with a zero byte, as File::open() does; Timedout.
std::string read_file(const std::string& path, std::size_t max, const mothreads::Until& until = {});

struct WriteFileOptions {
  mode_t permissions = 0666;  // but for what umask(2) takes away
  bool sync = true;           // it is on the disk when the call returns, and never half of it
};

// A file of that path has the old content or the new one, for whoever looks, whatever happens. Written beside it, in the same folder, and put
// in its place. Throws IoError, and Timedout; then nothing has changed, unless it was only the folder that could not be synced.
void write_file_atomically(const std::string& path, std::string_view data, const mothreads::Until& until = {});
void write_file_atomically(const std::string& path, std::string_view data, const WriteFileOptions& options, const mothreads::Until& until = {});

}  // namespace cooperative
