#include "catools/server/internal/served_pv.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <tuple>
#include <type_traits>

#include <fmt/core.h>

#include "catools/server/internal/updates.h"
#include "catools/server/internal/wire.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"

namespace catools::inline v0::internal {

namespace {

std::size_t memory_of(const Sample& sample) { return count_of(sample.cells) * bytes_of(type_of(sample.cells)); }

template <typename Number>
std::optional<double> only_number(const Cells& cells) {
  const auto* numbers = std::get_if<std::vector<Number>>(&cells);
  if (numbers == nullptr || numbers->size() != 1) return std::nullopt;
  return static_cast<double>(numbers->front());
}

// Two NaNs are equal, as for a record.
bool are_equal(const Cells& cells, const Cells& others) {
  return std::visit(
      [&](const auto& one) {
        using All = std::remove_cvref_t<decltype(one)>;
        const All& other = std::get<All>(others);  // a process variable has one type
        return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](const auto& a, const auto& b) {
          if constexpr (std::is_floating_point_v<typename All::value_type>) return a == b || (std::isnan(a) && std::isnan(b));
          return a == b;
        });
      },
      cells);
}

}  // namespace

// --- SampleQueue ---------------------------------------------------------------------------------------------------------------

bool SampleQueue::push(SamplePtr sample, const QueueLimit& limit) {
  const std::size_t size = memory_of(*sample);
  const bool is_full = !samples_.empty() && (samples_.size() >= limit.samples || bytes_ + size > limit.bytes);
  if (!is_full) {
    samples_.push_back(std::move(sample));
    bytes_ += size;
    return false;
  }
  // A client that asked for alarms only must see one that the dropped sample began.
  if (const std::uint16_t both = sample->events | samples_.back()->events; both != sample->events) {
    auto merged = copy_of(*sample);
    merged->events = both;
    sample = std::move(merged);
  }
  bytes_ += size - memory_of(*samples_.back());
  samples_.back() = std::move(sample);
  return true;
}

SamplePtr SampleQueue::pop() noexcept {
  SamplePtr first = std::move(samples_.front());
  samples_.pop_front();
  bytes_ -= memory_of(*first);
  return first;
}

void SampleQueue::keep_newest() noexcept {
  while (samples_.size() > 1) static_cast<void>(pop());
}

void SampleQueue::clear() noexcept {
  samples_.clear();
  bytes_ = 0;
}

// --- ServedPv ------------------------------------------------------------------------------------------------------------------

ServedPv::ServedPv(PvSetup setup, std::shared_ptr<Updates> updates)
    : name_(std::move(setup.name)),
      type_(type_of(setup.initial)),
      is_array_(setup.is_array),
      max_count_(setup.max_count),
      posts_every_set_(setup.posts_every_set),
      queue_limit_(setup.queue),
      on_put_(std::move(setup.on_put)),
      updates_(std::move(updates)),
      rights_(setup.rights) {
  check(setup.initial, *setup.properties);
  const auto [severity, condition] = alarm_of(setup.initial, *setup.properties);
  last_ = std::make_shared<Sample>(Sample{.cells = std::move(setup.initial),
                                          .properties = std::move(setup.properties),
                                          .severity = severity,
                                          .condition = condition,
                                          .time = mothreads::Clock::current().wall_now(),
                                          .number = 1,
                                          .events = kAllEvents,
                                          .unacknowledged = severity});
}

ServedPv::~ServedPv() { updates_->forget(*this); }

void ServedPv::check(const Cells& cells, const Properties& properties) const {
  const std::size_t count = count_of(cells);
  if (count > max_count_ || (!is_array_ && count != 1)) {
    throw std::invalid_argument(fmt::format("\"{}\" holds up to {} elements, and was given {}", name_, max_count_, count));
  }
  if (const auto* texts = std::get_if<std::vector<std::string>>(&cells)) {
    for (const std::string& text : *texts) {
      if (text.find('\0') != std::string::npos) {
        throw std::invalid_argument(fmt::format("\"{}\" was given a text with a zero byte, where a client would end it; serve bytes as "
                                                "std::vector<std::uint8_t>",
                                                name_));
      }
      if (text.size() < kStringSize) continue;
      throw std::invalid_argument(
          fmt::format("\"{}\" was given a text of {} bytes: {} is the most that a Channel Access string holds; serve a longer one as "
                      "std::vector<char>",
                      name_, text.size(), kStringSize - 1));
    }
  }
  try {
    check_choices(cells, properties);
  } catch (const ConversionError& error) {
    throw std::invalid_argument(fmt::format("\"{}\": {}", name_, error.what()));
  }
}

std::pair<Severity, Condition> ServedPv::alarm_of(const Cells& cells, const Properties& properties) const {
  constexpr std::pair<Severity, Condition> kNone{Severity::none, Condition::none};
  if (is_array_) return kNone;
  std::optional<double> number = only_number<double>(cells);
  if (!number) number = only_number<float>(cells);
  if (!number) number = only_number<std::int32_t>(cells);
  if (!number) number = only_number<std::int16_t>(cells);
  if (!number) number = only_number<std::uint8_t>(cells);
  if (!number) return kNone;
  if (std::isnan(*number)) return {Severity::invalid, Condition::undefined};
  const Limits& limits = properties.limits;  // a comparison with NaN is false
  if (*number >= limits.high_alarm) return {Severity::major, Condition::hihi};
  if (*number <= limits.low_alarm) return {Severity::major, Condition::lolo};
  if (*number >= limits.high_warning) return {Severity::minor, Condition::high};
  if (*number <= limits.low_warning) return {Severity::minor, Condition::low};
  return kNone;
}

void ServedPv::set(Cells cells, const Stamp& stamp) {
  if (stamp.condition && !stamp.severity) {
    throw mothreads::Misuse(fmt::format("\"{}\" was given a condition without a severity: give both", name_));
  }
  check(cells, *sample()->properties);
  const absl::Time time = stamp.time ? *stamp.time : mothreads::Clock::current().wall_now();
  {
    std::lock_guard held(mutex_);
    auto next = std::make_shared<Sample>(Sample{.cells = std::move(cells), .properties = last_->properties, .time = time});
    if (stamp.severity) {
      next->severity = *stamp.severity;
      next->condition = stamp.condition.value_or(*stamp.severity == Severity::none ? Condition::none : Condition::soft);
    } else {
      std::tie(next->severity, next->condition) = alarm_of(next->cells, *next->properties);
    }
    if (posts_every_set_ || !are_equal(next->cells, last_->cells)) next->events = kValueEvents | kLogEvents;
    next->acknowledges_transient = last_->acknowledges_transient;
    next->unacknowledged = last_->unacknowledged;
    if (next->severity != last_->severity || next->condition != last_->condition) {
      next->events |= kAlarmEvents;
      if (!next->acknowledges_transient || next->severity >= next->unacknowledged) next->unacknowledged = next->severity;
    }
    if (!add_sample(std::move(next))) return;
  }
  updates_->note(*this);
}

// With the mutex. True when the serving thread has to be told.
bool ServedPv::add_sample(std::shared_ptr<Sample> next) {
  next->number = last_->number + 1;
  const bool is_wanted = monitors_ > 0 && !is_removed_ && next->events != 0;
  if (is_wanted) static_cast<void>(untold_.push(next, queue_limit_));
  last_ = std::move(next);
  return is_wanted && has_to_note();
}

// With the mutex. A PV without watchers has nobody to tell, and so is noted by nobody before its server serves.
bool ServedPv::has_to_note() noexcept { return is_watched_ && !std::exchange(is_noted_, true); }

SamplePtr ServedPv::sample() const {
  std::lock_guard held(mutex_);
  return last_;
}

void ServedPv::change_properties(absl::FunctionRef<void(Properties&)> change) {
  {
    std::lock_guard held(mutex_);
    auto next = copy_of(*last_);
    Properties properties = *last_->properties;
    change(properties);
    next->properties = std::make_shared<const Properties>(std::move(properties));
    next->events = kPropertyEvents;
    if (!add_sample(std::move(next))) return;
  }
  updates_->note(*this);
}

void ServedPv::acknowledge(Severity severity) {
  {
    std::lock_guard held(mutex_);
    if (severity < last_->unacknowledged || last_->unacknowledged == Severity::none) return;
    auto next = copy_of(*last_);
    next->unacknowledged = Severity::none;
    next->events = kAlarmEvents;
    if (!add_sample(std::move(next))) return;
  }
  updates_->note(*this);
}

void ServedPv::acknowledge_transient(bool on) {
  {
    std::lock_guard held(mutex_);
    auto next = copy_of(*last_);
    next->acknowledges_transient = on;
    if (!on && next->unacknowledged > next->severity) next->unacknowledged = next->severity;
    next->events = kAlarmEvents;
    if (!add_sample(std::move(next))) return;
  }
  updates_->note(*this);
}

void ServedPv::set_rights(AccessRights rights) {
  {
    std::lock_guard held(mutex_);
    // Relaxed: whoever reads it looks at nothing else that this thread wrote.
    if (rights_.exchange(rights, std::memory_order_relaxed) == rights) return;
    has_other_rights_ = true;
    if (!has_to_note()) return;
  }
  updates_->note(*this);
}

bool ServedPv::remove() {
  {
    std::lock_guard held(mutex_);
    if (std::exchange(is_removed_, true)) return false;
    untold_.clear();
    if (!has_to_note()) return true;
  }
  updates_->note(*this);
  return true;
}

bool ServedPv::is_removed() const {
  std::lock_guard held(mutex_);
  return is_removed_;
}

// --- the serving thread --------------------------------------------------------------------------------------------------------

bool ServedPv::add_watcher(PvWatcher& watcher) {
  watchers_.insert(&watcher);
  std::lock_guard held(mutex_);
  if (!is_removed_) return is_watched_ = true;
  watchers_.erase(&watcher);
  return false;
}

void ServedPv::remove_watcher(PvWatcher& watcher) noexcept {
  watchers_.erase(&watcher);
  std::lock_guard held(mutex_);
  if (watchers_.empty()) is_watched_ = has_other_rights_ = false;
}

void ServedPv::begin_monitoring() {
  std::lock_guard held(mutex_);
  ++monitors_;
}

void ServedPv::end_monitoring() {
  std::lock_guard held(mutex_);
  if (--monitors_ == 0) untold_.clear();
}

SamplePtr ServedPv::next_untold() noexcept {
  std::lock_guard held(mutex_);
  return untold_.empty() ? nullptr : untold_.pop();
}

void ServedPv::tell() noexcept {
  bool has_other_rights = false;
  bool is_removed = false;
  std::size_t left = 0;  // a sample that comes meanwhile notes the PV again
  SamplePtr sample;
  {
    std::lock_guard held(mutex_);
    has_other_rights = std::exchange(has_other_rights_, false);
    is_removed = is_removed_;
    is_noted_ = false;
    left = untold_.size();
    if (left > 0) sample = untold_.pop();
  }
  if (is_removed) {
    for (PvWatcher* watcher : std::exchange(watchers_, {})) watcher->is_gone();
    return;
  }
  if (has_other_rights) {
    for (PvWatcher* watcher : watchers_) watcher->has_other_rights();
  }
  for (; sample != nullptr; sample = --left > 0 ? next_untold() : nullptr) {
    for (PvWatcher* watcher : watchers_) watcher->has_new(sample);
  }
}

void check_units(std::string_view name, std::string_view units) {
  if (units.find('\0') != std::string_view::npos) throw mothreads::Misuse(fmt::format("\"{}\" has units with a zero byte, which would end them", name));
  if (units.size() < kUnitsSize) return;
  throw mothreads::Misuse(fmt::format("\"{}\" has the units \"{}\": up to {} bytes are sent", name, units, kUnitsSize - 1));
}

}  // namespace catools::inline v0::internal
