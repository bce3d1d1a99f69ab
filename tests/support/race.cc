#include "tests/support/race.h"

#include "absl/time/time.h"

namespace mothreads::inline v0::testing {

void RaceTest::run(const Events& events, const std::function<void()>& wait) {
  waiter.script({[&] {
    for (const std::string& what : GetParam().happens) {
      if (what == "time") {
        clock.advance(absl::Seconds(1));
      } else if (what == "stop") {
        stop.go();
      } else if (const auto event = events.find(what); event != events.end()) {
        event->second();
      } else {
        ADD_FAILURE() << "nothing is called " << what;
      }
    }
  }});
  waiter.run(wait);
  EXPECT_EQ(waiter.sleeps(), 1);
  EXPECT_EQ(clock.timers(), 0U);
}

}  // namespace mothreads::testing
