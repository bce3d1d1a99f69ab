#pragma once

// A process that was started, and what a Process knows of it. For process.cc alone. On its scheduler's thread.

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/internal/children.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/process.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/limit.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal::io {

int open_pidfd(pid_t pid);
// Takes the end of a process, once. -1 with EAGAIN as long as it runs. The rest of its group, if it had one, ends with it: as
// long as nobody has taken the end of its leader the group's number is nobody else's.
ssize_t reap(int pidfd, std::optional<ProcessEnd>& end, pid_t group = 0);
[[noreturn]] void throw_early(const std::string& name, mothreads::Why why, const std::string& more = {});

inline constexpr const char* kStreams[]{"standard input", "standard output", "standard error"};

struct ProcessState {
  ~ProcessState();

  std::string name() const;
  // Throws mothreads::Misuse where it has none of that number.
  Pipe& pipe(int number);
  // False when it has ended.
  bool send(int signal);

  // The fiber looks at the leader's end as soon as that comes, and so ends the rest of the group, whatever others wait for meanwhile: what the
  // leader has started may keep its pipes open.
  void watch_group();
  ssize_t reap() { return io::reap(pidfd.native(), end, own_group ? pid : 0); }
  bool reap_now();
  ProcessEnd await(mothreads::Limit limit);
  // Waits for its end, and puts into the pipes' read-ahead what it writes meanwhile and nobody else reads, so that a full pipe does not hold it up.
  // False when the time comes first.
  bool await_collecting(mothreads::Instant by);

  // Feeds and reads, and waits for the end.
  void talk();

  // A fiber that reads the pipes or waits for the end gets Closed.
  void close();

  std::string program;
  const mothreads::internal::Born born{};
  pid_t pid = -1;
  bool own_group = false;
  absl::Duration grace;
  absl::Duration pipe_grace;
  std::size_t max_output = 0;
  Descriptor pidfd;
  std::optional<Child> child;
  std::optional<ProcessEnd> end;
  std::array<std::optional<Pipe>, 3> pipes;
  std::shared_ptr<ProcessState*> watched;  // for the watcher of a group: null in it once this state has gone

  // The state of communicate(), kept when a limit interrupts it.
  std::string to_feed;
  std::size_t fed = 0;
  std::array<std::string, 3> came;  // from each stream
  bool communicates = false;

  bool was_stopped = false;  // stop() has closed the input
  int collectors = 0;        // so many are in await_collecting(), which refers to the pipes

 private:
  // A communicate() while it runs.
  struct Talk {
    mothreads::Signal late;  // the pipes are not waited for any more
    Event<> done;
    int pipes_left = 3;
    void leave() {
      if (--pipes_left == 0) done.signal();
    }
  };

  bool is_open(std::size_t number) const { return pipes[number] && pipes[number]->is_open(); }
  bool has_reader(std::size_t number);
  std::size_t room_for(std::size_t number) const;
  bool collect(std::size_t number);
  void give_up_late_pipes(Talk& talk);
  void feed(const mothreads::Signal& late);
  void drain(std::size_t number, const mothreads::Signal& late);
};

}  // namespace cooperative::internal::io
