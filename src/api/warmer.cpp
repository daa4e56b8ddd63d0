#include "warmer.hpp"

#include <pthread.h>

#include <algorithm>

#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "knap/base/json_text.hpp"
#include "knap/observe/log.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr std::size_t kQuestionsMax = 1'000;
constexpr std::ptrdiff_t kDroppedAtOnce = 100;
constexpr std::size_t kBodyBytesMax = 8U << 10;
constexpr std::uint64_t kFileBytesMax = 16U << 20;
constexpr std::size_t kDueMax = 64;
/// After so many uses all counts are halved: what was asked long ago counts less.
constexpr std::uint64_t kHalveAfter = 10'000;
constexpr milliseconds kLook{500};
/// The content must have stayed the same for so long: edits come in flocks.
constexpr milliseconds kSettled{2'000};
/// Nobody has asked for so long.
constexpr milliseconds kQuiet{100};
constexpr milliseconds kSaveEvery{60'000};

}  // namespace

Warmer::Warmer(Options options, Work work, observe::Registry& metrics)
    : options_(std::move(options)),
      work_(std::move(work)),
      warmed_(metrics.counter("knap_cache_warmed_total",
                              "Results worked out in the background to be there when asked for")) {
  if (options_.questions == 0) return;
  load();
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "knap-warm");
}

Warmer::~Warmer() { stop(); }

void Warmer::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  stop_.cancel();
  if (!thread_.joinable()) return;
  thread_.join();
  save();
}

/// Many at once, the least valued: under load every question is a new one, and a look at all of
/// them for each was a fourteenth of a search's time.
void Warmer::make_room() {
  if (questions_.size() < kQuestionsMax) return;
  std::vector<std::pair<double, std::uint64_t>> values;
  values.reserve(questions_.size());
  for (const auto& [name, question] : questions_) values.emplace_back(question.value(), name);
  const auto end = values.begin() + kDroppedAtOnce;
  std::nth_element(values.begin(), end, values.end());
  values.erase(end, values.end());
  for (const auto& [value, name] : values) questions_.erase(name);
}

void Warmer::used(cache::Kind kind, std::uint64_t name, std::uint32_t cost_us,
                  const std::function<std::string()>& body) {
  if (options_.questions == 0) return;
  const MutexLock lock(mutex_);
  last_use_ = SteadyClock::now();
  auto known = questions_.find(name);
  if (known == questions_.end()) {
    Question question{kind, body(), 0, 0};
    if (question.body.empty() || question.body.size() > kBodyBytesMax) return;
    make_room();
    known = questions_.emplace(name, std::move(question)).first;
  }
  known->second.uses += 1;
  if (cost_us != 0) known->second.cost_us = cost_us;
  unsaved_ = true;
  if (++uses_ % kHalveAfter == 0) {
    for (auto& [number, question] : questions_) question.uses /= 2;
  }
}

void Warmer::refresh(std::uint64_t name) {
  const MutexLock lock(mutex_);
  if (options_.questions == 0 || due_.size() >= kDueMax || !questions_.contains(name)) return;
  due_.push_back(name);
  wake_.notify_all();
}

std::vector<Warmer::Question> Warmer::best() const {
  const MutexLock lock(mutex_);
  std::vector<Question> out;
  for (const auto& [name, question] : questions_) {
    // Asked once, it may never be asked again.
    if (question.uses > 1) out.push_back(question);
  }
  const std::size_t count = std::min<std::size_t>(out.size(), options_.questions);
  std::partial_sort(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), out.end(),
                    [](const Question& a, const Question& b) { return a.value() > b.value(); });
  out.resize(count);
  return out;
}

bool Warmer::quiet() const {
  const MutexLock lock(mutex_);
  return SteadyClock::now() - last_use_ >= kQuiet;
}

/// False when the warmer stops.
bool Warmer::pause(milliseconds time) {
  const Deadline until = Deadline::after(time);
  const MutexLock lock(mutex_);
  while (!stopping_ && due_.empty() && !until.expired()) wake_.wait_until(mutex_, until);
  return !stopping_;
}

Warmer::Warmed Warmer::warm(Deadline deadline, const CancelToken& cancel) {
  const MutexLock pass(pass_mutex_);
  Warmed out;
  for (const Question& question : best()) {
    if (deadline.expired() || cancel.cancelled() || stop_.cancelled()) break;
    ++out.questions;
    if (work_.make(question.kind, question.body, Work::Need::kIfMissing)) {
      ++out.made;
      warmed_.add();
    }
  }
  return out;
}

void Warmer::refresh_due() {
  for (;;) {
    Question question;
    {
      const MutexLock lock(mutex_);
      if (due_.empty() || stopping_) return;
      const auto known = questions_.find(due_.front());
      due_.pop_front();
      if (known == questions_.end()) continue;
      question = known->second;
    }
    const MutexLock pass(pass_mutex_);
    if (work_.make(question.kind, question.body, Work::Need::kAnyway)) warmed_.add();
  }
}

void Warmer::run() {
  std::optional<std::string> warm_for, seen;
  auto seen_since = SteadyClock::now(), saved = seen_since;
  std::vector<Question> left;
  while (pause(left.empty() ? kLook : milliseconds(1))) {
    refresh_due();
    auto now = work_.content();
    const auto time = SteadyClock::now();
    if (now != seen) {
      seen = std::move(now);
      seen_since = time;
      left.clear();
      warm_for.reset();
    }
    if (time - saved > kSaveEvery) {
      save();
      saved = time;
    }
    if (!seen || time - seen_since < kSettled) continue;
    if (warm_for != seen) {
      warm_for = seen;
      left = best();
      std::reverse(left.begin(), left.end());  // the most valued last, where it is taken from
    }
    if (left.empty()) continue;
    if (!quiet()) {
      if (!pause(kQuiet)) return;
      continue;
    }
    const Question question = std::move(left.back());
    left.pop_back();
    const MutexLock pass(pass_mutex_);
    if (work_.make(question.kind, question.body, Work::Need::kIfMissing)) warmed_.add();
  }
}

void Warmer::load() {
  if (options_.file.empty()) return;
  const auto bytes = read_file(options_.file, kFileBytesMax);
  if (!bytes) return;
  try {
    const json::value file = json::parse(*bytes);
    const MutexLock lock(mutex_);
    for (const json::value& entry : file.at("questions").as_array()) {
      if (questions_.size() == kQuestionsMax) break;
      const auto kind = entry.at("kind").to_number<std::size_t>();
      if (kind >= cache::kKinds.size()) continue;
      Question question;
      question.kind = cache::kKinds[kind];
      question.body = entry.at("body").as_string();
      question.uses = entry.at("uses").to_number<double>();
      question.cost_us = entry.at("cost_us").to_number<std::uint32_t>();
      const auto name = std::stoull(std::string(entry.at("name").as_string()), nullptr, 16);
      questions_.emplace(name, std::move(question));
    }
  } catch (const std::exception&) {
    // Damaged or of another version: it fills again by use.
    observe::log_warning("cache_questions_unread",
                         "the file of valued questions is damaged and "
                         "is begun anew");
  }
}

void Warmer::save() {
  if (options_.file.empty()) return;
  json::array list;
  {
    const MutexLock lock(mutex_);
    if (!std::exchange(unsaved_, false)) return;
    for (const auto& [name, question] : questions_) {
      std::array<char, 20> hex{};
      std::snprintf(hex.data(), hex.size(), "%llx", static_cast<unsigned long long>(name));
      list.push_back(json::object{{"name", hex.data()},
                                  {"kind", cache::index_of(question.kind)},
                                  {"body", question.body},
                                  {"uses", question.uses},
                                  {"cost_us", question.cost_us}});
    }
  }
  std::error_code ignored;
  std::filesystem::create_directories(options_.file.parent_path(), ignored);
  const Status written =
      write_file_atomic(options_.file, json_text(json::object{{"questions", std::move(list)}}));
  if (!written) observe::log_warning("cache_questions_unwritten", written.error().message);
}

}  // namespace knap::api
