#include "runner/scheduler.hpp"

#include <algorithm>
#include <ranges>

#include "knap/base/assert.hpp"
#include "runner/known_tokens.hpp"

namespace knap::models::runner {
namespace {

using Nanoseconds = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

/// Compute that a tenant may have used more than the least served one before it goes behind:
/// about two questions, so that turns do not change with every step.
constexpr double kTenantQuantum = 2.0;
constexpr std::size_t kTenantsMax = 1'000;
/// A beginning that is shorter is read again rather than waited for.
constexpr std::size_t kWorthWaiting = 16;
}  // namespace

Scheduler::Scheduler(Options options) : options_(options), ledger_(options.cells, options.slots) {
  KNAP_ASSERT(options_.running_max >= 1 && options_.slots >= options_.running_max &&
              options_.step_tokens > options_.running_max);
}

// ---- Order

std::size_t Scheduler::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(work_, [](const auto& each) { return each.second.slot >= 0; }));
}

std::size_t Scheduler::chunk_tokens() const {
  return speed_.tokens_in(options_.chunk_time, options_.chunk_tokens_min, options_.step_tokens);
}

bool Scheduler::is_over_share(const Work& work) const {
  const double served = served_.at(work.job.tenant);
  return std::ranges::any_of(work_, [&](const auto& each) {
    const Job& other = each.second.job;
    return other.urgency == work.job.urgency && served_.at(other.tenant) + kTenantQuantum < served;
  });
}

Scheduler::Order Scheduler::ordered() {
  struct Place {
    Work* work;
    bool over_share;
  };
  std::vector<Place> places;
  places.reserve(work_.size());
  const bool several = served_.size() > 1;
  for (auto& [key, work] : work_) {
    work.in_plan = false;
    places.push_back({&work, several && is_over_share(work)});
  }
  // Keys rise, so that equals stay in the order of their coming.
  std::ranges::stable_sort(places, [](const Place& a, const Place& b) {
    if (a.work->job.urgency != b.work->job.urgency)
      return a.work->job.urgency < b.work->job.urgency;
    if (a.over_share != b.over_share) return b.over_share;
    return a.work->job.deadline.point() < b.work->job.deadline.point();
  });
  Order order;
  for (const Place& place : places) order.push_back(place.work);
  return order;
}

// One that comes back starts level with the least served who is there: unused time is not saved up.
void Scheduler::join_tenant(const std::string& tenant) {
  if (served_.size() >= kTenantsMax) forget_tenants();
  double least = 0;
  bool any = false;
  for (const auto& [key, other] : work_) {
    const double served = served_.at(other.job.tenant);
    least = any ? std::min(least, served) : served;
    any = true;
  }
  double& served = served_[tenant];
  served = std::max(served, least);
}

void Scheduler::forget_tenants() {
  std::erase_if(served_, [&](const auto& each) {
    return std::ranges::none_of(
        work_, [&](const auto& other) { return other.second.job.tenant == each.first; });
  });
}

// ---- The next step

Scheduler::Plan Scheduler::plan(Time now) {
  Plan plan;
  reserved_ = 0;
  if (work_.empty()) return plan;
  last_step_ = now;
  const Order order = ordered();
  plan.top = order.front()->job.urgency;
  Urgency due = Urgency::kBackground;
  for (const Work* work : order) {
    if (!work->first_token_due()) continue;
    due = work->job.urgency;
    break;
  }
  plan.threads = 0;
  add_writing(order, due, plan);
  add_reading(order, due, now, plan);
  add_guess(plan);
  plan.threads = std::max<std::size_t>(plan.threads, 1);
  return plan;
}

bool Scheduler::may_run(const Work& work, const Plan& plan, Urgency due) const {
  if (work.job.urgency == plan.top) return true;
  return work.job.urgency <= due && lower_credit_ > 0;
}

void Scheduler::add_writing(const Order& order, Urgency due, Plan& plan) {
  for (Work* work : order) {
    if (!work->writing() || !may_run(*work, plan, due)) continue;
    if (make_cells(1, *work, order, plan)) add_item(*work, 1, plan);
  }
}

// How many prompt tokens a step may read.
std::size_t Scheduler::reading_budget(const Order& order, const Plan& plan) const {
  const bool quiet = options_.take == StateLedger::Take::kAnyPart &&
                     std::ranges::none_of(order, [](const Work* work) { return work->writing(); });
  if (!quiet) return std::min(chunk_tokens(), options_.step_tokens - plan.written_tokens);
  // A step of one answer alone is given up as soon as nobody wants it, and hardly anybody goes
  // before an interactive one.
  if (order.size() == 1 && plan.top == Urgency::kInteractive) return options_.step_tokens;
  return speed_.tokens_in(options_.chunk_time * options_.long_chunk, options_.chunk_tokens_min,
                          options_.step_tokens);
}

void Scheduler::add_reading(const Order& order, Urgency due, Time now, Plan& plan) {
  const std::size_t chunk = chunk_tokens();
  std::size_t budget = reading_budget(order, plan);
  for (Work* work : order) {
    if (budget == 0) return;
    if (work->in_plan || work->writing() || !may_run(*work, plan, due)) continue;
    if (work->slot < 0 && !activate(*work, order, plan)) continue;
    const std::size_t held = work->computed;
    if (!join_known(*work, order, plan)) continue;
    // A step after a part was put in cannot be given up half-way: it is a short one.
    if (work->computed > held) budget = std::min(budget, chunk);
    const std::size_t count = std::min(work->readable(), budget);
    if (!make_cells(count, *work, order, plan)) continue;
    if (!work->progress.started) work->progress.started = now;
    add_item(*work, count, plan);
    budget -= count;
    plan.is_long = plan.prompt_tokens > chunk;
  }
}

void Scheduler::add_item(Work& work, std::size_t count, Plan& plan) {
  const bool writing = work.writing();
  if (plan.items.empty()) plan.first = {work.job.urgency, work.job.deadline};
  plan.items.push_back({.key = work.key,
                        .slot = work.slot,
                        .begin = work.computed,
                        .tokens = std::span(work.tokens).subspan(work.computed, count),
                        .output = count == work.pending() && !work.job.read_only});
  (writing ? plan.written_tokens : plan.prompt_tokens) += count;
  if (work.job.urgency != plan.top) plan.lower_tokens += count;
  plan.threads = std::max(plan.threads, work.job.threads);
  reserved_ += count;
  work.in_plan = true;
}

// Only beside one answer by itself: several share the cost of a step already.
void Scheduler::add_guess(Plan& plan) {
  if (plan.items.size() != 1 || plan.prompt_tokens > 0) return;
  const Work& work = work_.at(plan.items.front().key);
  if (work.guess.empty()) return;
  const std::size_t most = std::min(options_.step_tokens - 1, ledger_.free_cells() - reserved_);
  // The step writes a token by itself in any case.
  const std::size_t left = work.job.max_tokens - work.progress.completion_tokens;
  const auto chances =
      std::span(work.chances)
          .first(std::min({work.chances.size(), most, std::max<std::size_t>(left, 1) - 1}));
  plan.guessed_tokens = speed_.worth_guessing(chances, options_.chunk_time);
  plan.items.front().guess = std::span(work.guess).first(plan.guessed_tokens);
  reserved_ += plan.guessed_tokens;
}

// Known parts that stand next are held from now on, before the step is computed.
bool Scheduler::join_known(Work& work, const Order& order, Plan& plan) {
  while (work.next_known < work.job.known.size()) {
    const Known& part = work.job.known[work.next_known];
    if (part.begin != work.computed) return true;
    if (!make_cells(part.length, work, order, plan)) return false;
    plan.changes.push_back({.kind = SlotChange::Kind::kJoin,
                            .slot = work.slot,
                            .length = part.begin,
                            .key = work.key,
                            .known = work.next_known});
    ledger_.append(work.slot, std::span(work.tokens).subspan(part.begin, part.length));
    work.computed += part.length;
    if (work.progress.completion_tokens == 0) work.progress.reused_tokens += part.length;
    ++work.next_known;
  }
  return true;
}

bool Scheduler::activate(Work& work, const Order& order, Plan& plan) {
  const std::span known = std::span(work.tokens).first(work.tokens.size() - 1);
  const auto longest = [&] {
    StateLedger::Match found = ledger_.longest(known, options_.take);
    found.length = without_half_part(work.job, found.length);
    return found.length > 0 ? found : StateLedger::Match{};
  };
  StateLedger::Match match = longest();
  if (waits_for_leader(work, match.length, order)) return false;
  const std::size_t wanted = work.tokens.size() - match.length;
  const bool may_preempt = std::ranges::any_of(order, [&](const Work* other) {
    return other->slot >= 0 && other->job.urgency > work.job.urgency;
  });
  if (!may_preempt && ledger_.free_cells() + ledger_.kept_cells() < reserved_ + wanted)
    return false;
  while (running() >= options_.running_max) {
    if (!preempt_for(work, order, plan)) return false;
    match = longest();  // a victim's state may have replaced it
  }
  if (!take_slot(work, match, plan)) return false;
  work.computed = match.length;
  work.next_known = 0;
  while (work.next_known < work.job.known.size() &&
         work.job.known[work.next_known].begin < work.computed)
    ++work.next_known;
  if (work.progress.completion_tokens == 0) work.progress.reused_tokens = match.length;
  if (make_cells(wanted, work, order, plan)) return true;
  release(work, plan.changes);
  return false;
}

// One ahead of it that is reading what both begin with will have it to share in a step or two.
bool Scheduler::waits_for_leader(const Work& work, std::size_t match, const Order& order) const {
  if (options_.take == StateLedger::Take::kWholeSlotsOnly) return false;
  for (const Work* leader : order) {
    if (leader == &work) return false;
    if (leader->slot < 0 || leader->pending() <= 1) continue;
    if (common_length(work.tokens, leader->tokens) >= match + kWorthWaiting) return true;
  }
  return false;
}

bool Scheduler::take_slot(Work& work, StateLedger::Match match, Plan& plan) {
  // What an earlier answer left is taken over rather than shared when it is too much to keep.
  const bool take_over = match.slot >= 0 && ledger_.is_kept(match.slot) &&
                         ledger_.length(match.slot) > options_.kept_cells_max;
  auto slot = take_over ? std::nullopt : ledger_.free_slot();
  if (!slot && !take_over) {
    slot = ledger_.oldest_kept(match.slot);
    if (slot) drop(*slot, plan.changes);
  }
  if (slot) {
    if (match.length == 0) {
      ledger_.hold(*slot, 0);
    } else {
      ledger_.fork(match.slot, *slot, match.length);
      plan.changes.push_back({.kind = SlotChange::Kind::kFork,
                              .slot = *slot,
                              .from = match.slot,
                              .length = match.length});
    }
  } else if (match.slot >= 0 && ledger_.is_kept(match.slot)) {
    slot = match.slot;
    if (match.length < ledger_.length(*slot)) {
      plan.changes.push_back(
          {.kind = SlotChange::Kind::kCut, .slot = *slot, .length = match.length});
    }
    ledger_.hold(*slot, match.length);
  } else {
    return false;
  }
  work.slot = *slot;
  // Reading ahead leaves soon, and takes nothing with it that the next question begins with.
  trim_kept(work.job.read_only ? 1 : 0, plan.changes);
  return true;
}

// Drops what is kept beyond the limit, but for the `spared` latest.
void Scheduler::trim_kept(std::size_t spared, std::vector<SlotChange>& changes) {
  while (ledger_.kept() > spared && ledger_.kept_cells() > options_.kept_cells_max)
    drop(*ledger_.oldest_kept(), changes);
}

bool Scheduler::make_cells(std::size_t wanted, const Work& work, const Order& order, Plan& plan) {
  while (ledger_.free_cells() < reserved_ + wanted) {
    if (const auto oldest = ledger_.oldest_kept()) {
      drop(*oldest, plan.changes);
    } else if (!preempt_for(work, order, plan)) {
      return false;
    }
  }
  return true;
}

// Who has computed something already takes from all behind it; who starts, from the less urgent
// only: two of one urgency would push each other out for ever.
bool Scheduler::preempt_for(const Work& work, const Order& order, Plan& plan) {
  for (Work* victim : std::views::reverse(order)) {
    if (victim == &work) return false;
    if (victim->slot < 0 || victim->in_plan) continue;
    if (victim->job.urgency == work.job.urgency && (work.slot < 0 || work.computed == 0))
      return false;
    release(*victim, plan.changes);
    ++preempted_;
    return true;
  }
  return false;
}

void Scheduler::release(Work& work, std::vector<SlotChange>& changes) {
  std::vector<Slot> dropped;
  if (ledger_.length(work.slot) == 0) {
    ledger_.drop(work.slot);
  } else {
    ledger_.keep(work.slot, dropped);
  }
  for (const Slot slot : dropped)
    changes.push_back({.kind = SlotChange::Kind::kDrop, .slot = slot});
  trim_kept(1, changes);
  work.slot = -1;
  work.computed = 0;
}

void Scheduler::drop(Slot slot, std::vector<SlotChange>& changes) {
  ledger_.drop(slot);
  changes.push_back({.kind = SlotChange::Kind::kDrop, .slot = slot});
}

// ---- After the step

void Scheduler::complete(const Plan& plan, Nanoseconds elapsed, std::size_t right) {
  reserved_ = 0;
  if (last_step_) *last_step_ += elapsed;
  const std::size_t tokens = plan.prompt_tokens + plan.written_tokens;
  if (tokens == 0) return;
  if (plan.guessed_tokens == 0) speed_.record(plan.prompt_tokens, plan.written_tokens, elapsed);
  if (plan.prompt_tokens == 0 && plan.items.size() == 1)
    speed_.record_guessed(plan.guessed_tokens, elapsed);
  const double seconds = Seconds(elapsed).count();
  for (const Item& item : plan.items) {
    Work& work = work_.at(item.key);
    ledger_.append(work.slot, item.tokens);
    work.computed += item.tokens.size();
    if (!item.guess.empty()) {
      ledger_.append(work.slot, item.guess.first(right));
      work.computed += right;
    }
    work.in_plan = false;
    served_[work.job.tenant] +=
        seconds * static_cast<double>(item.tokens.size()) / static_cast<double>(tokens);
  }
  const double lower = static_cast<double>(plan.lower_tokens) / static_cast<double>(tokens);
  const double limit = Seconds(options_.chunk_time).count();
  lower_credit_ = std::clamp(lower_credit_ + seconds * ((1 - lower) * options_.lower_share - lower),
                             -limit, limit);
}

void Scheduler::abandon(const Plan& plan) {
  reserved_ = 0;
  for (const Item& item : plan.items) work_.at(item.key).in_plan = false;
}

void Scheduler::append(Key key, Token token) {
  Work& work = work_.at(key);
  work.tokens.push_back(token);
  ++work.progress.completion_tokens;
  work.guess.clear(), work.chances.clear();
}

void Scheduler::guess(Key key, std::vector<Token> tokens, std::vector<double> chances) {
  KNAP_ASSERT(tokens.size() == chances.size());
  Work& work = work_.at(key);
  work.guess = std::move(tokens);
  work.chances = std::move(chances);
}

std::vector<Scheduler::SlotChange> Scheduler::end(Key key, State state) {
  std::vector<SlotChange> changes;
  const auto found = work_.find(key);
  KNAP_ASSERT(found != work_.end());
  if (const Slot slot = found->second.slot; slot >= 0) {
    if (state == State::kLost) {
      drop(slot, changes);
    } else {
      release(found->second, changes);
    }
  }
  work_.erase(found);
  return changes;
}

Scheduler::Progress Scheduler::progress(Key key) const { return work_.at(key).progress; }

Scheduler::Counts Scheduler::counts() const {
  const std::size_t now_running = running();
  return {.waiting = work_.size() - now_running,
          .running = now_running,
          .kept = ledger_.kept(),
          .free_cells = ledger_.free_cells(),
          .preempted = preempted_};
}

}  // namespace knap::models::runner
