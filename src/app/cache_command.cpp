#include <fmt/format.h>

#include "commands.hpp"
#include "knap/base/json_text.hpp"
#include "remote.hpp"
#include "terminal.hpp"

namespace knap::app {
namespace {

namespace json = boost::json;

/// Fewer sampled requests say nothing about sizes.
constexpr double kSampleMin = 100;
/// A larger cache pays when it hits so much more of the requests; a smaller one suffices when it
/// hits so little less.
constexpr double kPays = .02, kSuffices = .005;

std::uint64_t whole(const json::value& value, std::string_view name) {
  return static_cast<std::uint64_t>(number_of(value, name));
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

const json::array& list_of(const json::value& value, std::string_view name) {
  static const json::array kNone;
  const json::value& list = member(value, name);
  return list.is_array() ? list.get_array() : kNone;
}

void print_stats(const json::value& stats) {
  const Terminal terminal(Terminal::Stream::kOut);
  const auto& layers = list_of(stats, "layers");
  if (layers.empty()) fmt::print("This server keeps no cache: cache.layers is empty.\n");
  for (const json::value& layer : layers) {
    const json::value& open = member(layer, "open");
    fmt::print("{} {:<7}", terminal.bold(text_of(layer, "layer")), text_of(layer, "name"));
    if (!open.is_bool() || !open.get_bool()) {
      fmt::print(" {}\n", terminal.dim("not in use"));
      continue;
    }
    fmt::print(" {} of {}, {} values, {} evicted\n", bytes_text(whole(layer, "bytes")),
               bytes_text(whole(layer, "capacity_bytes")), grouped(whole(layer, "entries")),
               grouped(whole(layer, "evictions")));
    for (const json::value& kind : list_of(layer, "kinds")) {
      const std::uint64_t hits = whole(kind, "hits"), misses = whole(kind, "misses");
      if (hits + misses == 0) continue;
      fmt::print("   {:<10} {:>7} hit: {} of {}, {} s saved\n", text_of(kind, "kind"),
                 percent(number_of(kind, "hit_rate")), grouped(hits), grouped(hits + misses),
                 grouped(whole(kind, "saved_ms") / 1000));
    }
  }
}

int print_advice(const json::value& stats) {
  const json::value& advice = member(stats, "advice");
  if (advice.is_null()) {
    fmt::print("The layer in memory is not in use: there is no size to advise on.\n");
    return kExitDone;
  }
  const double asked = number_of(advice, "sampled_requests");
  double now = 0;
  for (const json::value& size : list_of(advice, "sizes")) {
    const double rate = number_of(size, "hit_rate"), factor = number_of(size, "factor");
    if (factor == 1) now = rate;
    fmt::print("{:>10}  {:>7} hit{}\n", bytes_text(whole(size, "bytes")), percent(rate),
               factor == 1 ? "   as it is" : "");
  }
  if (asked < kSampleMin) {
    fmt::print("Too few requests yet to say what pays: {} sampled, {} wanted.\n", asked,
               kSampleMin);
    return kExitDone;
  }
  std::string verdict = "The size is right.";
  for (const json::value& size : list_of(advice, "sizes")) {
    const double rate = number_of(size, "hit_rate"), factor = number_of(size, "factor");
    const std::string setting = fmt::format("cache.memory_bytes: {}", whole(size, "bytes"));
    if (factor < 1 && now - rate < kSuffices) {
      verdict = fmt::format("Half the size would hit as much: {}", setting);
    } else if (factor > 1 && rate - now >= kPays) {
      verdict = fmt::format("{} times the size pays: {} more of the requests are hit. {}", factor,
                            percent(rate - now), setting);
      break;
    }
  }
  fmt::print("{}\n", verdict);
  return kExitDone;
}

json::object selection(const CacheCommand& command) {
  json::object body;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) body[name] = value;
  };
  add("pattern", command.pattern);
  add("note", command.note);
  add("tag", command.tag);
  add("vault", command.vault);
  add("kind", command.kind);
  return body;
}

}  // namespace

int cache_command(const Config& config, const ServerAddress& server, const CacheCommand& command) {
  using Action = CacheCommand::Action;
  auto remote = Remote::open(config, server);
  if (!remote) return report(remote.error());
  const std::string base = "/api/performance/cache/";
  Result<json::value> answer = json::value();
  switch (command.action) {
    case Action::kStats:
    case Action::kAdvise: answer = remote->get(base + "stats"); break;
    case Action::kClear: {
      json::object body;
      if (!command.layer.empty()) body["layer"] = command.layer;
      answer = remote->post(base + "clear", body);
      break;
    }
    case Action::kInvalidate: answer = remote->post(base + "invalidate", selection(command)); break;
  }
  if (!answer) return report(answer.error());
  if (server.output == Output::kJson) {
    fmt::print("{}\n", json_text(*answer));
    return kExitDone;
  }
  switch (command.action) {
    case Action::kStats: print_stats(*answer); break;
    case Action::kAdvise: return print_advice(*answer);
    case Action::kClear: fmt::print("Forgotten.\n"); break;
    case Action::kInvalidate:
      fmt::print("{} values forgotten.\n", grouped(whole(*answer, "invalidated")));
      break;
  }
  return kExitDone;
}

}  // namespace knap::app
