// Programs whose threads have fibers and that fork, for fork_fibers_test: the first argument says which.

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/in_parallel.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/process.h"
#include "cooperative/io/server.h"
#include "cooperative/io/session.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/timer.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "tests/support/forked.h"

namespace {

namespace co = cooperative;
namespace http = cooperative::http;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::end_of;
using mothreads::testing::limit_child;
using mothreads::testing::say;
using mothreads::testing::say_end_of;

void use_fibers(const char* who) {
  co::Event<int> event;
  auto giver = co::spawn("giver", [&] {
    co::sleep(absl::Microseconds(100));
    event.signal(7);
  });
  if (event.wait() != 7) say("the event has lost something");
  giver.join();
  co::PipeEnds ends = co::make_pipe();
  auto writer = co::spawn("writer", [&] { ends.writer.write_all(std::string_view("over a pipe\n")); });
  if (*ends.reader.read_line() != "over a pipe") say("the pipe has lost something");
  writer.join();
  co::BlockingPool pool("pool");
  if (pool.call([] { return 3; }) != 3) say("the pool has lost something");
  say(std::string(who) + " has used fibers");
}

int forks_with_fibers_that_wait() {
  co::Event<int> never;
  auto waits = co::spawn("waits", [&] { never.wait(); });
  auto sleeps = co::spawn("sleeps", [] { co::sleep(absl::Hours(1)); });
  bool has_begun = false;
  auto has_not_begun = co::spawn("has not begun", [&] { has_begun = true; });
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    say(waits.is_alive() ? "alive" : "not alive");
    try {
      waits.join();
    } catch (const mothreads::Misuse& misuse) {
      say(misuse.what());
    }
    use_fibers("the child");
    say(has_begun ? "begun in the child" : "not begun in the child");
    return 0;
  }
  say_end_of(child);
  has_not_begun.join();
  say(has_begun ? "begun" : "not begun");
  sleeps.cancel();
  waits.cancel();
  return 0;
}

int forks_in_a_fiber() {
  auto other = co::spawn("other", [] { co::sleep(absl::Hours(1)); });
  co::FiberGroup group({.name = "group"});
  group.spawn("member", [] { co::sleep(absl::Hours(1)); });
  co::spawn("forks", [&group] {
    co::yield();
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      try {
        group.join();
      } catch (const mothreads::Misuse& misuse) {
        say(misuse.what());
      }
      use_fibers("the child");
      auto thread = Thread::run("thread", [](Signal please_stop) {
        please_stop.wait();
        say("told to stop");
      });
      thread.release();
      co::spawn("left running", [](Signal please_stop) {
        please_stop.wait();
        say("the fiber, too");
      }).release();
      return;
    }
    say_end_of(child);
  }).join();
  say("the parent goes on");
  group.stop();
  other.cancel();
  return 0;
}

int forks_in_a_fiber_that_throws() {
  co::spawn("forks", [] {
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      throw std::runtime_error("no bread");
    }
    say_end_of(child);
  }).join();
  return 0;
}

int forks_in_a_fiber_and_exits() {
  for (const bool is_quick : {false, true}) {
    co::spawn("forks", [is_quick] {
      const pid_t child = fork();
      if (child == 0) {
        limit_child();
        if (is_quick) _exit(4);
        std::exit(3);
      }
      say_end_of(child);
    }).join();
  }
  return 0;
}

int forks_in_in_parallel() {
  co::in_parallel([] { co::sleep(absl::Milliseconds(1)); },
                  [] {
                    const pid_t child = fork();
                    if (child == 0) {
                      limit_child();
                      use_fibers("the child");
                      return;
                    }
                    say_end_of(child);
                  });
  say("the parent goes on");
  return 0;
}

int forks_in_a_threads_fiber() {
  Thread::run("worker", [](Signal) {
    auto other = co::spawn("other", [](Signal please_stop) { please_stop.wait(); });
    co::spawn("forks", [] {
      const pid_t child = fork();
      if (child == 0) {
        limit_child();
        use_fibers("the child");
        return;
      }
      say_end_of(child);
    }).join();
  }).join();
  return 0;
}

// What the parent's fiber waits for goes on coming, whatever a child does with its copy.
int closes_its_copy_in_the_child() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
  co::Socket far = co::Socket::adopt(pair[1]);
  auto near = std::make_unique<co::Socket>(co::Socket::adopt(pair[0]));
  auto reader = co::spawn("reader", [&] { return *near->read_line(); });
  co::yield();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    near->close();
    near.reset();
    return 0;
  }
  say_end_of(child);
  far.write_all(std::string_view("still heard\n"));
  say(reader.join(absl::Seconds(10)));
  return 0;
}

int stops_its_copy_of_a_server() {
  char folder[] = "/tmp/fork_fibers_XXXXXX";  // a short path, as sockets need
  if (mkdtemp(folder) == nullptr) return 1;
  const std::string path = std::string(folder) + "/s";
  co::Server server = co::serve_unix(path, [](co::Socket& client) { client.write_all(std::string_view("served\n")); });
  co::yield();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    server.stop();
    return 0;
  }
  say_end_of(child);
  struct stat status {};
  say(stat(path.c_str(), &status) == 0 ? "the path is there" : "the path is gone");
  co::Socket client = co::connect(co::Address::unix_path(path), absl::Seconds(10));
  say(*client.read_line(absl::Seconds(10)));
  server.stop().join();
  say(stat(path.c_str(), &status) == 0 ? "the path is there" : "the path is gone");
  rmdir(folder);
  return 0;
}

// Says what its session has read; "wait" keeps its fiber until the parent goes on.
class SaidSession final : public co::internal::io::Session {
 public:
  SaidSession(co::Socket& client, const mothreads::Signal& go_on) : client_(client), go_on_(go_on) {}
  ~SaidSession() override { say("a session ends"); }
  std::optional<Rest> serve(mothreads::Why, const mothreads::Signal&) override {
    while (true) {
      const mothreads::Ended more = client_.fill(absl::ZeroDuration());
      if (more.why() == mothreads::Why::closed) return std::nullopt;
      if (!more) break;
      const std::string line = *client_.read_line();
      if (line == "wait") go_on_.wait();
      client_.write_all(line + "\n");
      if (line == "bye") return std::nullopt;
    }
    return Rest{client_.begin_rest(mothreads::internal::kAccess), absl::Hours(1)};
  }

 private:
  co::Socket& client_;
  const mothreads::Signal& go_on_;
};

// One connection rests, another is in a turn.
int leaves_connections_to_its_parent() {
  const mothreads::Signal go_on("go on");
  {
    co::Server server = co::internal::io::serve_sessions(
        co::listen(co::Address::loopback(0)),
        [&](co::Socket& client, co::internal::io::SessionOwner&, const mothreads::Signal&) { return std::make_unique<SaidSession>(client, go_on); },
        mothreads::NEVER, {});
    co::Socket rests = co::connect(server.address());
    rests.write_all(std::string_view("a\n"));
    say(*rests.read_line(absl::Seconds(10)));
    co::Socket waits = co::connect(server.address());
    waits.write_all(std::string_view("wait\n"));
    co::yield_until_idle();
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      server.stop();
      return 0;
    }
    say_end_of(child);
    rests.write_all(std::string_view("bye\n"));
    say(*rests.read_line(absl::Seconds(10)));
    go_on.go();
    say(*waits.read_line(absl::Seconds(10)));
    waits.close();
    server.stop().join();
  }
  return 0;
}

int leaves_a_process_to_its_parent() {
  co::Process cat({"cat"}, {.input = co::Redirect::pipe(), .output = co::Redirect::pipe()});
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    try {
      cat.terminate();
    } catch (const mothreads::Misuse&) {
      say("refused");
    }
    return 0;
  }
  say_end_of(child);
  cat.input().write_all(std::string_view("still there\n"));
  say(*cat.output().read_line(absl::Seconds(10)));
  return 0;
}

int leaves_pools_queues_and_timers_behind() {
  mothreads::set_stop_deadline(absl::Hours(1));  // waited for, the test would hang
  co::BlockingPool pool("pool");
  pool.call([] {});
  co::CallbackQueue queue(co::Scheduler::current(), {.name = "queue"});
  int calls = 0;
  co::Timer timer(absl::ZeroDuration(), [&] { ++calls; });
  const co::Scheduler scheduler = co::Scheduler::current();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    try {
      pool.call([] {});
    } catch (const mothreads::Misuse& misuse) {
      say(misuse.what());
    }
    co::sleep(absl::Milliseconds(1));
    say(std::to_string(calls) + " calls of the parent's timer");
    use_fibers("the child");
    return 0;
  }
  say_end_of(child);
  co::sleep(absl::Milliseconds(1));
  say(std::to_string(calls) + " call");
  pool.call([] {});
  return 0;
}

// A function of a pool that forks: the child ends with it, and runs no other call of the parent's.
int forks_in_a_pool() {
  co::BlockingPool pool("pool", {.threads = 1});
  pid_t child = -1;
  auto first = co::spawn("first", [&] {
    pool.call([&] {
      child = fork();
      if (child == 0) limit_child();
    });
  });
  auto second = co::spawn("second", [&] { pool.call([] { say("the second call"); }); });
  first.join();
  second.join();
  say_end_of(child);
  return 0;
}

// Likewise in the callbacks of a queue, and of a scheduler.
int forks_in_a_callback() {
  const auto forks = [] {
    const pid_t child = fork();
    if (child == 0) return limit_child();
    say_end_of(child);
  };
  co::CallbackQueue queue(co::Scheduler::current(), {.name = "queue"});
  queue.callback(forks);
  queue.callback([] { say("the second callback of the queue"); });
  co::yield_until_idle();
  co::Scheduler::current().callback(forks);
  co::Scheduler::current().callback([] { say("the second callback of the scheduler"); });
  co::yield_until_idle();
  return 0;
}

// The child answers nobody: the connection is the parent's.
int forks_in_a_handler_of_requests() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return 1;
  co::Socket ours = co::Socket::adopt(pair[0]);
  co::Socket its = co::Socket::adopt(pair[1]);
  auto serves = co::spawn("serves", [&its] {
    http::serve_http_connection(its, [](http::Request&) {
      const pid_t child = fork();
      if (child == 0) {
        limit_child();
      } else {
        say_end_of(child);
      }
      return http::Response::text(200, "answered");
    });
  });
  ours.write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  std::string all;
  while (auto line = ours.read_line()) all += *line + "\n";
  const std::size_t first = all.find("HTTP/1.1 200");
  say(first != std::string::npos && all.find("HTTP/1.1 200", first + 1) == std::string::npos ? "answered once" : all);
  serves.join();
  return 0;
}

// A function of a WebSocket, and of another upgrade, that forks: the child says nothing on the connection, and reads nothing from it.
int forks_in_functions_of_upgrades() {
  const auto forks = [] {
    const pid_t child = fork();
    if (child != 0) say_end_of(child);
    if (child == 0) limit_child();
    return child == 0;
  };
  const std::vector<http::Handler> handlers = [&] {
    std::vector<http::Handler> all;
    all.emplace_back([&](http::Request& request) {
      return http::accept_websocket(request, {.on_message = [&](http::WebSocket& socket, const http::WebSocketMessage& message) {
        if (!forks()) socket.write_text(message.data);
      }});
    });
    all.emplace_back([&](http::Request& request) {
      return http::accept_websocket(request, [&](http::WebSocket& socket) {
        while (auto message = socket.read()) {
          if (forks()) return;
          socket.write_text(message->data);
        }
      });
    });
    return all;
  }();
  for (const http::Handler& handler : handlers) {
    auto [ours, its] = co::Socket::pair();
    auto serves = co::spawn("serves", [&, &its = its] { http::serve_http_connection(its, handler); });
    http::WebSocket client = http::connect_websocket(ours, "here", "/");
    for (const char* const text : {"a", "b"}) {
      client.write_text(text);
      say(client.read()->data);
    }
    client.close();
    ours.close();
    serves.join();
  }
  auto [ours, its] = co::Socket::pair();
  auto serves = co::spawn("serves", [&, &its = its] {
    http::serve_http_connection(its, [&](http::Request&) {
      http::Response response{.status = 101};
      response.body = http::Upgrade{.run = [&](co::Stream& stream) {
        if (!forks()) stream.write_all(std::string_view("upgraded\n"));
      }};
      return response;
    });
  });
  ours.write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"));
  static_cast<void>(ours.read_until("\r\n\r\n"));
  say(*ours.read_line());
  say(ours.read_line().why() == mothreads::Why::closed ? "and closed" : "something else");
  ours.close();
  serves.join();
  return 0;
}

// What is given in the child goes to who waits there, and not to a fiber that is the parent's.
int gives_past_waiters_of_another_scheduler() {
  mothreads::Queue<int> queue("queue");
  const Signal waits("waits");
  auto thread = Thread::run("thread", [&](Signal) {
    auto pops = co::spawn("pops", [&queue] { say(std::to_string(*queue.pop()) + " in the parent"); });
    co::yield_until_idle();
    waits.go();
    pops.join();
  });
  waits.wait();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    queue.add(7);
    say(std::to_string(*queue.pop()) + " in the child");
    return 0;
  }
  say_end_of(child);
  queue.add(8);
  thread.join();
  return 0;
}

// What the function had, destroyed at its end, and a function of `stopped`.
int forks_in_functions_of_a_fibers_end() {
  std::shared_ptr<void> at_end(nullptr, [](void*) { mothreads::testing::fork_and_say(); });
  co::spawn("drops", [at_end = std::move(at_end)] {}).join();
  auto fiber = co::spawn("stops", [] {});
  fiber.stopped().then([] { mothreads::testing::fork_and_say(); });
  fiber.join();
  say("the parent goes on");
  return 0;
}

// In the parent a fiber has been woken to enter, and has not come yet.
int forks_with_a_fiber_on_its_way_into_a_lock() {
  mothreads::Lock lock("lock");
  co::Fiber<void> next;
  {
    auto held = lock.enter();
    next = co::spawn("next", [&] {
      auto inside = lock.enter();
      say("the parent's fiber is inside");
    });
    co::yield();
  }
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    auto held = lock.enter();
    say("the child is inside");
    return 0;
  }
  say_end_of(child);
  next.join();
  return 0;
}

// In the child the other thread's fibers and its scheduler have ended.
int leaves_the_scheduler_of_another_thread_behind() {
  std::optional<co::Scheduler> scheduler;
  Signal is_there;
  auto worker = Thread::run("worker", [&](Signal please_stop) {
    scheduler.emplace(co::Scheduler::current());
    is_there.go();
    please_stop.wait();
  });
  is_there.wait();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    say(scheduler->has_ended() ? "ended" : "not ended");
    try {
      scheduler->callback_result([] {});
    } catch (const co::Closed& closed) {
      say(closed.what());
    }
    return 0;
  }
  say_end_of(child);
  say(std::to_string(scheduler->callback_result([] { return 1; })) + " result");
  return 0;
}

int waits_for_descriptors_in_both() {
  use_fibers("the parent");
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    use_fibers("the child");
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      limit_child();
      use_fibers("the grandchild");
      return 2;
    }
    say_end_of(grandchild);
    return 1;
  }
  say_end_of(child);
  use_fibers("the parent");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string_view, std::function<int()>> scenarios{
      {"wait", forks_with_fibers_that_wait},
      {"fiber", forks_in_a_fiber},
      {"fiber throws", forks_in_a_fiber_that_throws},
      {"fiber exits", forks_in_a_fiber_and_exits},
      {"in_parallel", forks_in_in_parallel},
      {"thread's fiber", forks_in_a_threads_fiber},
      {"socket", closes_its_copy_in_the_child},
      {"server", stops_its_copy_of_a_server},
      {"connections", leaves_connections_to_its_parent},
      {"process", leaves_a_process_to_its_parent},
      {"left behind", leaves_pools_queues_and_timers_behind},
      {"both", waits_for_descriptors_in_both},
      {"pool", forks_in_a_pool},
      {"callbacks", forks_in_a_callback},
      {"handler", forks_in_a_handler_of_requests},
      {"upgrades", forks_in_functions_of_upgrades},
      {"other's waiter", gives_past_waiters_of_another_scheduler},
      {"fiber's end", forks_in_functions_of_a_fibers_end},
      {"lock", forks_with_a_fiber_on_its_way_into_a_lock},
      {"other scheduler", leaves_the_scheduler_of_another_thread_behind},
  };
  const auto found = scenarios.find(count == 2 ? arguments[1] : "");
  if (found == scenarios.end()) {
    say("no such scenario");
    return 99;
  }
  return found->second();
}
