// The snippets of docs/tour.md, in one program: each runs, and what it shows is checked.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/http/client.h"
#include "cooperative/http/events.h"
#include "cooperative/http/message.h"
#include "cooperative/http/routes.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/websocket.h"
#include "cooperative/in_parallel.h"
#include "cooperative/io/address.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/passed_sockets.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "cooperative/watchdog.h"
#include "mothreads/clock.h"
#include "mothreads/end_record.h"
#include "mothreads/drain_hold.h"
#include "mothreads/executor.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/member.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/retry.h"
#include "mothreads/service_manager.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "mothreads/when_stuck.h"

using namespace mothreads;
namespace co = cooperative;
namespace http = cooperative::http;

namespace {

void check(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "tour: %s does not hold\n", what.c_str());
  std::exit(1);
}

void signals_and_time() {
  Signal cancelled("user cancel");
  Signal done("done");
  auto worker_a = Thread::run("worker a", [](Signal please_stop) { please_stop.wait(); });
  auto worker_b = Thread::run("worker b", [](Signal please_stop) { please_stop.wait(); });
  Queue<int> queue("numbers");
  Signal please_stop = MainThread::please_stop();
  worker_a.stop();
  worker_b.stop();
  cancelled.go();
  queue.add(1);
  queue.add(2);
  queue.add(3);
  // [signals]
  (cancelled | Till(absl::Seconds(360))).wait();
  (worker_a.stopped() & worker_b.stopped()).wait();
  done.then([] { log::info("done"); });               // once; now, if it already went

  auto first = queue.pop(absl::Seconds(5));           // one type says until when: a duration, a deadline,
  auto second = queue.pop(please_stop);               //   a Signal,
  auto third = queue.pop(please_stop | absl::Seconds(5));  //   or both, with nothing allocated

  if (auto nothing = queue.pop(absl::ZeroDuration()); !nothing) {
    log::info("none: {}", to_string(nothing.why()));  // ready, closed, timed out or stopped: never a bare bool
  }
  // [/signals]
  check(*first == 1 && *second == 2 && *third == 3, "popping in order");
  done.go();
}

void monitor() {
  std::deque<int> todo;
  int taken = 0;
  // [monitor]
  Lock lock("todo list");
  auto taker = Thread::run("taker", [&](Signal please_stop) {
    auto held = lock.enter();
    if (!held.wait([&] { return !todo.empty(); }, please_stop | absl::Seconds(10))) return;
    taken = todo.front();                             // wait() always holds the lock again when it returns
    todo.pop_front();
  });
  {
    auto held = lock.enter();
    todo.push_back(42);
  }                                                   // leaving wakes one waiter
  taker.join();
  // [/monitor]
  check(taken == 42, "the taker got the item");
}

void failures() {
  // [failures]
  auto failing = Thread::run("failing", [](Signal) -> int { throw std::out_of_range("no such row"); });
  try {
    failing.join();
  } catch (const std::out_of_range& error) {          // the original exception, of its own type
    log::info("as expected: {}", error.what());
  }

  ThreadGroup group(ThreadGroupOptions{.name = "probes", .fail_fast = true});   // the first failure stops the others
  group.run("patient", [](Signal please_stop) { please_stop.wait(); });
  group.run("broken", [](Signal) { throw std::runtime_error("no answer"); });
  try {
    group.join();
  } catch (const ThreadsFailed& failed) {
    log::info("{}", failed.what());                   // names every thread that failed
  }
  // [/failures]
}

void run_plugin(const Signal& may_end, const Signal&) { may_end.wait(); }   // does not look at its please_stop

void stuck() {
  const Signal may_end;
  // [stuck]
  ThreadGroup plugins("plugins", {.stop_limit = absl::Milliseconds(10), .when_stuck = WhenStuck::mark_lost});
  Member plugin = plugins.run("plugin", run_plugin, may_end);   // a lost thread still runs: it owns all that it uses
  plugins.stop();
  try {
    plugins.join();
  } catch (const ThreadsFailed& failed) {
    for (const EndRecord& end : failed.ends()) log::info("{} {} is {}", to_string(end.kind), end.name, to_string(end.how));
  }
  log::info("{} ended: {}", plugin.name(), plugin.stopped() ? "yes" : "no");   // only then may its module be unloaded
  // [/stuck]
  check(plugin.end()->how == How::lost && !plugin.stopped(), "the plugin is lost, and runs");
  may_end.go();
  plugin.stopped().wait();
  check(plugin.end()->how == How::returned && lost_members().empty(), "it has ended after all");
}

void virtual_time() {
  // [virtual_time]
  testing::VirtualClock clock;
  UseClock use(clock);                                // this thread, and those it makes from here on
  int asked = 0;
  auto poller = Thread::run("poller", [&](Signal please_stop) {
    while (!please_stop.wait(absl::Seconds(10))) ++asked;
  });
  for (int i = 0; i < 360; ++i) {
    clock.await_timers(1);                            // the poller sleeps
    clock.advance(absl::Seconds(10));                 // an hour takes no time
  }
  clock.await_timers(1);
  poller.stop().join();
  // [/virtual_time]
  check(asked == 360, "360 times in an hour");
}

void fibers() {
  // [fibers]
  co::Event<double> ready;
  auto reader = co::spawn("reader", [&] { return ready.wait(absl::Seconds(2)); });   // throws Timedout when nothing comes
  co::spawn("sensor", [&] {
    co::sleep(absl::Milliseconds(10));                // suspends this fiber only
    ready.signal(3.5);
  }).release();                                       // nobody joins it: its thread's end does
  double value = reader.join();                       // its result, or its exception
  // [/fibers]
  check(value == 3.5, "the reader got the value");
}

void fibers_stop() {
  bool tidied = false;
  // [fiber_stop]
  auto careless = co::spawn("careless", [] { co::sleep(absl::Hours(1)); });
  auto careful = co::spawn("careful", [&](Signal please_stop) {
    please_stop.wait();
    tidied = true;
  });
  co::yield();                                        // both begin
  careful.stop().join();                              // it takes a please_stop: that goes, and it ends by itself
  try {
    careless.stop().join();                           // it takes none: it is unwound from its wait, destructors and all
  } catch (const co::WasCancelled& cancelled) {
    log::info("as expected: {}", cancelled.what());
  }
  // [/fiber_stop]
  check(tidied, "the careful one tidied up");
}

void at_once() {
  // [at_once]
  std::map<int, std::string> cache{{7, "seven"}};
  auto look_up = [&](int key) {
    if (!cache.contains(key)) {
      co::sleep(absl::Milliseconds(1));                 // the answer takes its time
      cache[key] = "another";
    }
    return cache[key];
  };
  auto known = co::spawn({.name = "known", .start = co::Start::at_once}, look_up, 7);
  bool had_to_wait = known.is_alive();                  // it began inside spawn(), and has ended there
  std::string answer = known.join();
  // [/at_once]
  check(!had_to_wait && answer == "seven", "what is known needs no wait");
}

void timers() {
  // [timer]
  int samples = 0;
  Signal enough("enough samples");
  co::Timer timer(absl::Milliseconds(1), [&] { if (++samples == 3) enough.go(); }, {.repeat = co::TimerRepeat::at_fixed_rate});
  enough.wait();                                      // the thread's other fibers go on; the timer ends with its scope
  // [/timer]
  check(samples == 3, "three samples");
}

void between() {
  std::vector<double> display;
  double limit = 2.5;
  // [between]
  co::Scheduler here = co::Scheduler::current();      // a shared handle: copied into the thread
  auto sensor = Thread::run("sensor", [here, &display, &limit](Signal please_stop) {
    for (double value = 0.5; !please_stop; value += 1) {
      here.callback([&display, value] { display.push_back(value); });            // on the scheduler's thread, in order
      if (value > here.callback_result([&limit] { return limit; })) return;      // the same, and waits for the result
    }
  });
  sensor.join();                                      // a fiber that waits for a thread: others go on, callbacks too
  // [/between]
  check(display == std::vector{0.5, 1.5, 2.5, 3.5}, "the display shows all, in order");
}

void executors() {
  std::vector<std::string> shown;
  std::string picture;
  std::vector<absl::AnyInvocable<void()>> events;     // of the window's loop, which runs on this thread here
  std::mutex mutex;
  const auto post_to_window = [&](absl::AnyInvocable<void()> f) {
    const std::lock_guard held(mutex);
    events.push_back(std::move(f));
    return true;
  };
  // [executor]
  co::Scheduler screen = co::Scheduler::current();    // a Scheduler, a CallbackQueue and a user's loop are Executors
  auto load = Thread::run("load", [&](Signal) { picture = "a cat"; });
  load.stopped().then(screen, [&] { shown.push_back(picture); },                    // on this thread, not in the one that ends
                      [](std::exception_ptr e) { log::error("{}", log::describe(e)); });

  Executor window = Executor::of("window", [&](absl::AnyInvocable<void()> f) { return post_to_window(std::move(f)); });
  load.stopped().then(window, [&] { shown.push_back("loaded"); });
  if (const Posted posted = window.post([&] { shown.push_back("hello"); }); !posted) log::warning("{}", to_string(posted.why()));
  // [/executor]
  load.join();
  co::Scheduler::current().callback_result([] {}, co::RunIn::callbacks);
  check(shown == std::vector<std::string>{"a cat"}, "a then() function on a scheduler");
  for (auto& event : events) event();
  std::sort(shown.begin(), shown.end());
  check(shown == std::vector<std::string>{"a cat", "hello", "loaded"}, "functions on a user's loop");
}

struct Camera {
  Queue<int> frames;
  co::Scheduler scheduler;
  int dropped = 0;
  int redrawn = 0;
};

Signal solved("the solver has begun");
void solve_step() { solved.go(); }

// [foreign]
void on_frame(int frame, void* context) {             // the driver's own thread calls this, until the process ends
  ForeignThread here("camera driver");                // nothing is allocated after its first call; scopes may be nested
  auto& camera = *static_cast<Camera*>(context);
  if (!camera.frames.add(frame, absl::ZeroDuration())) ++camera.dropped;
  camera.scheduler.callback([&camera] { ++camera.redrawn; });
}                                                     // reports of the stop list "camera driver (foreign)"

void worker_of_another_library() {
  RegisterThread here("solver");                      // a child of the main thread: the stop waits for this scope
  while (!here.please_stop()) solve_step();
}
// [/foreign]

void threads_of_other_libraries() {
  Camera camera{.frames = Queue<int>("frames", {.max = 2}), .scheduler = co::Scheduler::current()};
  std::thread driver([&camera] {
    for (int frame = 0; frame < 3; ++frame) on_frame(frame, &camera);
  });
  driver.join();
  co::Scheduler::current().callback_result([] {}, co::RunIn::callbacks);
  check(camera.dropped == 1 && camera.redrawn == 3, "frames of a foreign thread");
  std::thread solver(worker_of_another_library);
  solved.wait();
  const Thread known = MainThread::thread().children().back();
  check(known.name() == "solver", "the name of a registered thread");
  known.stop();
  solver.join();
}

void queue_between() {
  double sum = 0;
  std::string shown;
  // [queue_between]
  co::ThreadedEventQueue<double> readings;            // either side: threads or fibers
  auto plotter = co::spawn("plotter", [&] {
    for (double reading : readings.until(NEVER)) sum += reading;   // until it is closed, and empty
  });

  Signal saved("saved");                              // a thread's Signal ...
  auto label = co::spawn("label", [&] {
    saved.wait();                                     // ... suspends only this fiber
    shown = "saved";
  });

  auto producer = Thread::run("producer", [&](Signal) {
    for (int i = 1; i <= 100; ++i) readings.signal(i);
    readings.close();
    saved.go();
  });
  plotter.join();
  label.join();
  // [/queue_between]
  check(sum == 5050 && shown == "saved", "all arrived");
}

int measure(int what) {
  co::sleep(absl::Milliseconds(1));
  return what;
}

void several() {
  // [several]
  auto [width, height] = co::in_parallel([] { return measure(3); }, [] { return measure(4); });   // the first failure cancels the other

  co::Event<int> near, far;
  co::FiberGroup probes({.name = "probes", .fail_fast = true});   // leaving the scope stops its members and waits for them
  probes.spawn("near", [&] { near.signal(measure(1)); });
  probes.spawn("far", [&] { co::sleep(absl::Milliseconds(20)); far.signal(measure(2)); });
  const auto first = co::wait_for_any(std::tie(near, far), absl::Seconds(2));   // a std::variant; the other keeps its value
  probes.join();
  // [/several]
  check(width * height == 12 && first.index() == 0 && std::get<0>(first) == 1 && far, "the near one came first");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void calls_of_other_kinds() {
  std::vector<std::string> shown;
  int reloads = 0;
  // [calls]
  co::Scheduler here = co::Scheduler::current();
  co::CallbackQueue updates(here, {.name = "updates", .max = 100, .when_full = co::WhenFull::drop_oldest});   // with a bound
  auto source = Thread::run("source", [&](Signal) {
    static_cast<void>(updates.callback([&shown] { shown.push_back("an update"); }));
  });

  co::HandlerCallback reload(here, [&reloads] { ++reloads; });   // made beforehand: a signal handler may post it
  reload.post();

  co::BlockingPool files("files", {.threads = 2});              // threads for calls that block: only the fiber that calls waits
  std::string status = files.call([] { return read_file("/proc/self/status"); }, absl::Seconds(5));
  // [/calls]
  source.join();
  co::yield_until_idle();
  check(shown.size() == 1 && reloads == 1 && status.starts_with("Name:"), "all was called");
}

std::string reply(const std::string& line) { return "you said " + line + "\n"; }

void sockets() {
  // [sockets]
  auto server = co::serve_tcp({"127.0.0.1", 0}, [](co::Socket& client) {   // a fiber for each connection
    while (auto line = client.read_line(absl::Seconds(30))) client.write_all(reply(*line));
  });

  co::Socket client = co::connect("localhost", server.port(), absl::Seconds(5));   // resolves names; only this fiber waits
  client.write_all("hello\n");
  co::ReceivedText answer = client.read_line(absl::Seconds(5));   // answer.why(): ready, closed, timed_out or stopped

  client.shut_down_writing();                             // the server reads the end of the stream
  bool ended = client.read_line().why() == Why::closed;
  server.stop().join();                                   // takes no more, lets those under way finish, cancels who does not
  // [/sockets]
  check(*answer == "you said hello" && ended, "the server answered, and the stream ended");
}

struct Jobs {
  std::string describe(std::string_view id) const { return "{\"id\": " + std::string(id) + "}"; }
  std::string add(const std::string& job) {
    names.push_back(job);
    return describe(std::to_string(names.size()));
  }
  std::vector<std::string> names;
};

void http_service() {
  Jobs jobs;
  // [http]
  http::Routes routes;
  routes.get("/jobs/{id}", [&](http::Request& request) { return http::Response::json(200, jobs.describe(request.parameter("id"))); });
  routes.post("/jobs", [&](http::Request& request) {
    if (MainThread::draining()) return http::Response::error(503);
    return http::Response::json(201, jobs.add(request.body().read_all(1 << 20)));   // more is answered with 413
  });
  routes.get("/seconds", [](http::Request&) {                              // server-sent events, until the client has gone
    return http::Response::events([](http::EventWriter& events) {
      for (int second = 0; !events.ended(); co::sleep(events.ended() | absl::Seconds(1))) {
        events.send({.id = std::to_string(++second), .data = "tick"});
      }
    });
  });

  http::Request made = http::Request::make("POST", "/jobs", {.body = "print"});   // a test of a handler needs no socket
  http::Response added = routes.handle(made);

  auto site = http::serve_http(co::Address::loopback(0), std::move(routes), {.name = "api", .ready_path = "/ready"});
  http::Reply job = http::get("http://" + site.address().to_string() + "/jobs/1", absl::Seconds(5));
  site.stop().join();
  // [/http]
  check(added.status == 201 && job.status == 200 && job.body == "{\"id\": 1}", "a job is added, and asked for");
}

void websockets() {
  // [websocket]
  http::Routes routes;
  routes.get("/chat", [](http::Request& request) {              // one fiber reads; others may write
    return http::accept_websocket(request, [](http::WebSocket& socket) {
      while (auto message = socket.read(absl::Minutes(5))) socket.write_text("you said " + message->data);
    });
  });
  routes.get("/prices", [](http::Request& request) {            // for many that are mostly silent: no fiber between two messages
    return http::accept_websocket(request, {.on_message = [](http::WebSocket& socket, http::WebSocketMessage message) {
      socket.write_text(message.data + " costs 7");
    }});
  });
  auto site = http::serve_http(co::Address::loopback(0), std::move(routes));

  co::Socket stream = co::connect(site.address());
  http::WebSocket prices = http::connect_websocket(stream, "localhost", "/prices");
  prices.write_text("tea");
  http::WebSocketReceived price = prices.read(absl::Seconds(5));
  prices.close();                                               // waits for the other side's
  site.stop().join();
  // [/websocket]
  check(price->data == "tea costs 7" && prices.close_code() == http::WebSocket::kNormal, "a price was told");
}

// A server that is busy for the first two who ask.
std::string ask(int& asked) {
  if (++asked <= 2) throw std::runtime_error("busy");
  return "ready at last";
}

void retries(const Signal& please_stop) {
  int asked = 0;
  // [retry]
  std::string answer = retry({.name = "ask", .attempts = 5, .first_pause = absl::Milliseconds(1)},
                             [&] { return ask(asked); }, please_stop | absl::Seconds(5));
  // [/retry]
  check(answer == "ready at last" && asked == 3, "it was asked until it had an answer");
}

// The service manager's side: its socket, and the variable that it sets.
co::Socket manager_of_this_test() {
  co::Socket socket = co::Socket::unix_datagram();
  const std::string name = "mothreads_tour_" + std::to_string(getpid());
  socket.bind(co::Address::abstract(name));
  setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  setenv("WATCHDOG_USEC", "20000000", 1);
  return socket;
}

int service() {
  co::Socket told = manager_of_this_test();
  int code = 0;
  {
    // [service]
    ServiceManager manager;                             // first: takes NOTIFY_SOCKET and WATCHDOG_USEC out of the environment
    auto passed = co::take_passed_sockets();            // and LISTEN_FDS: sockets of a .socket unit
    code = MainThread::run([&](Signal please_stop) {
      const co::Watchdog watchdog(manager);             // WATCHDOG=1 as long as this thread's fibers have their turns
      const auto serve = [](co::Socket& client) { client.write_all("hello\n"); };
      auto server = passed.empty() ? co::serve_tcp({"127.0.0.1", 0}, serve) : co::serve(std::move(passed.front().socket), serve);
      manager.status("listens at " + server.address().to_string());
      manager.ready();                                  // READY=1; STOPPING=1 follows when the stop is announced
      std::raise(SIGTERM);                              // as `systemctl stop` does
      please_stop.wait();
    }, {.drain = absl::Seconds(30)});
    // [/service]
  }
  std::string messages;
  for (std::array<char, 100> room; told.descriptor().wait_readable(absl::ZeroDuration());) {
    const co::Datagram one = told.recv_from(std::as_writable_bytes(std::span(room)));
    const std::string message(room.data(), one.size);
    if (message != "WATCHDOG=1") messages += message + "; ";  // the watchdog's fiber and the signal's thread run in any order
  }
  check(messages.ends_with("; READY=1; STOPPING=1; "), "the manager was told: " + messages);
  return code;
}

// Somebody's requests, and then somebody who ends the program.
void take_jobs(Queue<std::string>& jobs) {
  for (const char* job : {"resize", "rotate", "print"}) jobs.add(job);
  std::raise(SIGTERM);
}

int drain() {
  int performed = 0;
  bool was_stopped = false;
  // [drain]
  int code = MainThread::run([&](Signal please_stop) {
    Queue<std::string> jobs("jobs");
    // The hold is there before the first job; it goes with the function. A drain that takes too long names its holds.
    auto worker = Thread::run("worker", [&, busy = DrainHold("jobs that were taken")](Signal) {
      while (auto job = jobs.pop()) ++performed;      // until the queue is closed, and empty
      was_stopped = static_cast<bool>(please_stop);
    });
    take_jobs(jobs);

    MainThread::draining().wait();                    // SIGINT or SIGTERM: no new work from here on
    jobs.close();                                     // what is in it is done
    please_stop.wait();                               // no hold is left, or 30 s are over
  }, {.drain = absl::Seconds(30), .stop_deadline = absl::Seconds(10)});
  // [/drain]
  check(performed == 3 && !was_stopped, "the work was done before the stop");
  return code;
}

void foreign_loop() {
  bool done = false;
  auto fiber = co::spawn("fiber", [&] {
    co::sleep(absl::Milliseconds(1));
    done = true;
  });
  // [foreign_loop]
  co::ForeignLoop fibers;
  while (true) {
    fibers.run_due();                                 // the last before it blocks
    if (done) break;                                  // by a fiber, maybe
    pollfd watched[] = {{fibers.descriptor(), POLLIN, 0}};   // readable when a fiber, a callback or a timer has something to do
    poll(watched, std::size(watched), -1);
  }
  // [/foreign_loop]
  fiber.join();
}

}  // namespace

int main() {
  const int code = MainThread::run([](const Signal& please_stop) {
    log::set_sink([](const log::Line& line) { std::printf("%s\n", line.text.c_str()); });
    signals_and_time();
    monitor();
    failures();
    stuck();
    virtual_time();
    fibers();
    fibers_stop();
    at_once();
    timers();
    between();
    executors();
    threads_of_other_libraries();
    queue_between();
    several();
    calls_of_other_kinds();
    foreign_loop();
    sockets();
    http_service();
    websockets();
    retries(please_stop);
    log::set_sink({});
  });
  if (code != 0) return code;
  if (const int drained = drain(); drained != 0) return drained;
  return service();
}
