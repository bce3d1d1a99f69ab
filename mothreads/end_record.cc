#include "mothreads/end_record.h"

namespace mothreads::inline v0 {

std::string_view to_string(MemberKind kind) {
  switch (kind) {
    case MemberKind::main: return "main";
    case MemberKind::thread: return "thread";
    case MemberKind::registered_thread: return "registered thread";
    case MemberKind::unregistered_thread: return "unregistered thread";
    case MemberKind::library_thread: return "thread of the library";
    case MemberKind::thread_group: return "group";
    case MemberKind::scheduler: return "scheduler";
    case MemberKind::fiber: return "fiber";
    case MemberKind::fiber_group: return "group of fibers";
    case MemberKind::world: return "world";
  }
  return "member";
}

std::string_view to_string(How how) {
  switch (how) {
    case How::returned: return "returned";
    case How::threw: return "threw";
    case How::cancelled: return "cancelled";
    case How::killed: return "killed";
    case How::lost: return "lost";
  }
  return "ended";
}

}  // namespace mothreads
