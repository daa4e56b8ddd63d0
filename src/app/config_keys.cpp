#include "config_keys.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "knap/extract/web_page.hpp"

namespace knap::app {
namespace {

template <typename Member>
std::function<ConfigKey::Target(Config&)> at(Member member) {
  return [member](Config& config) -> ConfigKey::Target { return &member(config); };
}
#define KNAP_AT(path) at([](Config& c) -> auto& { return c.path; })

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kYearSeconds = 31'536'000;

std::vector<ConfigKey> make_keys() {
  std::vector<ConfigKey> keys = {
      {.name = "server.host", .target = KNAP_AT(server.host)},
      {.name = "server.port", .target = KNAP_AT(server.port), .min = 0, .max = 65535},
      {.name = "server.allowed_origins", .target = KNAP_AT(server.allowed_origins)},
      {.name = "server.allowed_hosts", .target = KNAP_AT(server.allowed_hosts)},
      {.name = "server.max_body_bytes",
       .target = KNAP_AT(server.max_body_bytes),
       .min = 1024,
       .max = kGiB},
      {.name = "data.dir", .target = KNAP_AT(data_dir)},
      {.name = "index.watch", .target = KNAP_AT(index.watch)},
      {.name = "index.scan_interval_s",
       .target = KNAP_AT(index.scan_interval_s),
       .min = 1,
       .max = 86'400},
      {.name = "index.learn_boilerplate", .target = KNAP_AT(index.learn_boilerplate)},
      {.name = "index.max_file_bytes",
       .target = KNAP_AT(index.max_file_bytes),
       .min = 1024,
       .max = kGiB},
      {.name = "index.audio", .target = KNAP_AT(index.audio)},
      {.name = "index.audio_max_file_bytes",
       .target = KNAP_AT(index.audio_max_file_bytes),
       .min = 1024,
       .max = 16 * kGiB},
      {.name = "index.ocr", .target = KNAP_AT(index.ocr)},
      {.name = "index.ocr_max_pages",
       .target = KNAP_AT(index.ocr_max_pages),
       .min = 1,
       .max = 10'000},
      {.name = "index.office", .target = KNAP_AT(index.office)},
      {.name = "index.office_max_file_bytes",
       .target = KNAP_AT(index.office_max_file_bytes),
       .min = 1024,
       .max = 128.0 * 1024 * 1024},
      {.name = "index.pdf", .target = KNAP_AT(index.pdf)},
      {.name = "index.pdf_max_file_bytes",
       .target = KNAP_AT(index.pdf_max_file_bytes),
       .min = 1024,
       .max = 4 * kGiB},
      {.name = "index.pdf_max_pages",
       .target = KNAP_AT(index.pdf_max_pages),
       .min = 1,
       .max = 100'000},
      {.name = "index.weak_sandbox",
       .target = KNAP_AT(index.weak_sandbox),
       .choices = {"refuse", "allow"}},
      {.name = "models.dir", .target = KNAP_AT(models.dir)},
      {.name = "models.embed", .target = KNAP_AT(models.embed)},
      {.name = "models.answer", .target = KNAP_AT(models.answer)},
      {.name = "models.speech", .target = KNAP_AT(models.speech)},
      {.name = "models.rerank", .target = KNAP_AT(models.rerank)},
      {.name = "models.gpu.use",
       .target = KNAP_AT(models.gpu.use),
       .choices = {"auto", "always", "never"}},
      {.name = "models.gpu.memory_fraction",
       .target = KNAP_AT(models.gpu.memory_fraction),
       .min = 0.05,
       .max = 1},
      {.name = "models.hub", .target = KNAP_AT(models.hub)},
      {.name = "models.keep_alive_s",
       .target = KNAP_AT(models.keep_alive_s),
       .min = 0,
       .max = 604'800},
      {.name = "models.memory_bytes",
       .target = KNAP_AT(models.memory_bytes),
       .min = 0,
       .max = 1024 * kGiB},
      {.name = "models.offline", .target = KNAP_AT(models.offline)},
      {.name = "models.threads", .target = KNAP_AT(models.threads), .min = 0, .max = 1024},
      {.name = "models.pinned", .target = KNAP_AT(models.pinned)},
      {.name = "models.warm", .target = KNAP_AT(models.warm)},
      {.name = "models.replicas", .target = KNAP_AT(models.replicas), .min = 1, .max = 16},
      {.name = "models.remote.url", .target = KNAP_AT(models.remote.url)},
      {.name = "models.remote.model", .target = KNAP_AT(models.remote.model)},
      {.name = "models.remote.key",
       .target = KNAP_AT(models.remote.key),
       .kind = ConfigKey::Kind::kSecret},
      {.name = "models.remote.shape",
       .target = KNAP_AT(models.remote.shape),
       .choices = {"openai", "ollama"}},
      {.name = "models.remote.forbid", .target = KNAP_AT(models.remote.forbid)},
      {.name = "models.remote.context_tokens",
       .target = KNAP_AT(models.remote.context_tokens),
       .min = 512,
       .max = 10'000'000},
      {.name = "models.remote.silence_ms",
       .target = KNAP_AT(models.remote.silence_ms),
       .min = 100,
       .max = 600'000},
      {.name = "models.remote.price_read",
       .target = KNAP_AT(models.remote.price_read),
       .min = 0,
       .max = 1e6},
      {.name = "models.remote.price_write",
       .target = KNAP_AT(models.remote.price_write),
       .min = 0,
       .max = 1e6},
      {.name = "models.remote.local_only_tags", .target = KNAP_AT(answer.local_only.tags)},
      {.name = "models.remote.local_only_folders", .target = KNAP_AT(answer.local_only.folders)},
      {.name = "models.fallback", .target = KNAP_AT(models.fallback)},
      {.name = "speech.language", .target = KNAP_AT(speech.language)},
      {.name = "server.slow_request_ms",
       .target = KNAP_AT(server.slow_request_ms),
       .min = 0,
       .max = 600'000},
      {.name = "service.memory_bytes",
       .target = KNAP_AT(service.memory_bytes),
       .min = 0,
       .max = 1024 * kGiB},
      {.name = "alerts.enabled", .target = KNAP_AT(alerts.enabled)},
      {.name = "alerts.environment",
       .target = KNAP_AT(alerts.environment),
       .choices = {"development", "staging", "production"}},
      {.name = "alerts.pending_s", .target = KNAP_AT(alerts.pending_s), .min = 0, .max = 86'400},
      {.name = "alerts.webhook", .target = KNAP_AT(alerts.webhook)},
      {.name = "alerts.email.to", .target = KNAP_AT(alerts.email_to)},
      {.name = "alerts.email.from", .target = KNAP_AT(alerts.email_from)},
      {.name = "alerts.email.smtp", .target = KNAP_AT(alerts.smtp)},
      {.name = "alerts.email.user", .target = KNAP_AT(alerts.smtp_user)},
      {.name = "alerts.email.password",
       .target = KNAP_AT(alerts.smtp_password),
       .kind = ConfigKey::Kind::kSecret},
      {.name = "alerts.email.sendmail", .target = KNAP_AT(alerts.sendmail)},
      {.name = "server.compress_from_bytes",
       .target = KNAP_AT(server.compress_from_bytes),
       .min = 256,
       .max = kGiB},
      {.name = "service.cgroup_dir", .target = KNAP_AT(service.cgroup_dir)},
      {.name = "otlp.endpoint", .target = KNAP_AT(otlp.endpoint)},
      {.name = "otlp.sample", .target = KNAP_AT(otlp.sample), .min = 0, .max = 1},
      {.name = "service.levels", .target = KNAP_AT(service.levels)},
      {.name = "service.search_threads",
       .target = KNAP_AT(service.search_threads),
       .min = 0,
       .max = 256},
      {.name = "service.answer_threads",
       .target = KNAP_AT(service.answer_threads),
       .min = 1,
       .max = 256},
      {.name = "service.search_waiting",
       .target = KNAP_AT(service.search_waiting),
       .min = 1,
       .max = 10'000},
      {.name = "service.answer_waiting",
       .target = KNAP_AT(service.answer_waiting),
       .min = 1,
       .max = 10'000},
      {.name = "service.pin_threads", .target = KNAP_AT(service.pin_threads)},
      {.name = "service.queue_target_ms",
       .target = KNAP_AT(service.queue_target_ms),
       .min = 1,
       .max = 10'000},
      {.name = "search.judged_questions", .target = KNAP_AT(search.judged_questions)},
      {.name = "search.bm25_k1", .target = KNAP_AT(ranking.bm25_k1), .min = 0, .max = 10},
      {.name = "search.bm25_b", .target = KNAP_AT(ranking.bm25_b), .min = 0, .max = 1},
      {.name = "search.weight_title",
       .target = KNAP_AT(ranking.weight_title),
       .min = 0,
       .max = 100},
      {.name = "search.weight_headings",
       .target = KNAP_AT(ranking.weight_headings),
       .min = 0,
       .max = 100},
      {.name = "search.weight_aliases",
       .target = KNAP_AT(ranking.weight_aliases),
       .min = 0,
       .max = 100},
      {.name = "search.weight_tags", .target = KNAP_AT(ranking.weight_tags), .min = 0, .max = 100},
      {.name = "search.weight_path", .target = KNAP_AT(ranking.weight_path), .min = 0, .max = 100},
      {.name = "search.weight_boilerplate",
       .target = KNAP_AT(ranking.weight_boilerplate),
       .min = 0,
       .max = 100},
      {.name = "search.weight_body", .target = KNAP_AT(ranking.weight_body), .min = 0, .max = 100},
      {.name = "search.dense_weight", .target = KNAP_AT(ranking.dense_weight), .min = 0, .max = 1},
      {.name = "search.dense_weight_foreign",
       .target = KNAP_AT(ranking.dense_weight_foreign),
       .min = 0,
       .max = 1},
      {.name = "search.dense_weight_unknown",
       .target = KNAP_AT(ranking.dense_weight_unknown),
       .min = 0,
       .max = 1},
      {.name = "search.dense_sure_cosine",
       .target = KNAP_AT(ranking.dense_sure_cosine),
       .min = 0,
       .max = 1},
      {.name = "search.estimated_from",
       .target = KNAP_AT(ranking.estimated_from),
       .min = 0,
       .max = 4'000'000'000},
      {.name = "search.phrase_bonus", .target = KNAP_AT(ranking.phrase_bonus), .min = 0, .max = 10},
      {.name = "search.sentence_weight",
       .target = KNAP_AT(ranking.sentence_weight),
       .min = 0,
       .max = 10},
      {.name = "search.rerank_depth", .target = KNAP_AT(rerank.depth), .min = 2, .max = 100},
      {.name = "search.rerank_weight", .target = KNAP_AT(rerank.weight), .min = 0, .max = 1},
      {.name = "answer.passages", .target = KNAP_AT(answer.passages), .min = 1, .max = 50},
      {.name = "answer.quotes", .target = KNAP_AT(answer.quotes), .min = 1, .max = 10},
      {.name = "answer.context_tokens",
       .target = KNAP_AT(answer.context_tokens),
       .min = 100,
       .max = 100'000},
      {.name = "answer.refuse_below", .target = KNAP_AT(answer.refuse_below), .min = 0, .max = 1},
      {.name = "answer.read_ahead", .target = KNAP_AT(answer.read_ahead)},
      {.name = "answer.read_ahead_share",
       .target = KNAP_AT(answer.read_ahead_share),
       .min = 0.01,
       .max = 1},
      {.name = "answer.read_ahead_memory_bytes",
       .target = KNAP_AT(read_ahead.memory_bytes),
       .min = 1.0 * (1U << 20),
       .max = 64 * kGiB},
      {.name = "answer.read_ahead_disk_bytes",
       .target = KNAP_AT(read_ahead.disk_bytes),
       .min = 0,
       .max = 1'024 * kGiB},
      {.name = "cache.layers",
       .target = KNAP_AT(cache.layers),
       .choices = {"memory", "disk", "redis", "redis_cluster", "redis_sentinel"}},
      {.name = "cache.warm_questions",
       .target = KNAP_AT(cache.warm_questions),
       .min = 0,
       .max = 1'000},
      {.name = "cache.reworded", .target = KNAP_AT(cache.reworded)},
      {.name = "cache.redis.addresses", .target = KNAP_AT(cache.redis.addresses)},
      {.name = "cache.redis.user", .target = KNAP_AT(cache.redis.user)},
      {.name = "cache.redis.password",
       .target = KNAP_AT(cache.redis.password),
       .kind = ConfigKey::Kind::kSecret},
      {.name = "cache.redis.database",
       .target = KNAP_AT(cache.redis.database),
       .min = 0,
       .max = 1'000'000},
      {.name = "cache.redis.tls", .target = KNAP_AT(cache.redis.tls)},
      {.name = "cache.redis.ca_file", .target = KNAP_AT(cache.redis.ca_file)},
      {.name = "cache.redis.prefix", .target = KNAP_AT(cache.redis.prefix)},
      {.name = "cache.redis.master_name", .target = KNAP_AT(cache.redis.master_name)},
      {.name = "cache.redis.seconds",
       .target = KNAP_AT(cache.redis.seconds),
       .min = 0,
       .max = kYearSeconds},
      {.name = "cache.redis.timeout_ms",
       .target = KNAP_AT(cache.redis.timeout_ms),
       .min = 1,
       .max = 1'000},
      {.name = "cache.memory_bytes",
       .target = KNAP_AT(cache.memory_bytes),
       .min = 1 << 20,
       .max = 1024 * kGiB},
      {.name = "cache.disk_bytes",
       .target = KNAP_AT(cache.disk_bytes),
       .min = 1 << 20,
       .max = 1024 * kGiB},
      {.name = "cache.memory_seconds",
       .target = KNAP_AT(cache.memory_seconds),
       .min = 0,
       .max = kYearSeconds},
      {.name = "cache.disk_seconds",
       .target = KNAP_AT(cache.disk_seconds),
       .min = 0,
       .max = kYearSeconds},
      {.name = "cache.search_seconds",
       .target = KNAP_AT(cache.search_seconds),
       .min = 0,
       .max = kYearSeconds},
      {.name = "cache.answer_seconds",
       .target = KNAP_AT(cache.answer_seconds),
       .min = 0,
       .max = kYearSeconds},
      {.name = "log.level",
       .target = KNAP_AT(log.level),
       .choices = {"debug", "info", "warning", "error"}},
      {.name = "log.format", .target = KNAP_AT(log.format), .choices = {"text", "json"}},
      {.name = "log.file", .target = KNAP_AT(log.file)},
      {.name = "log.file_bytes_max",
       .target = KNAP_AT(log.file_bytes_max),
       .min = 65'536,
       .max = kGiB},
      {.name = "web.enabled", .target = KNAP_AT(web.enabled)},
      {.name = "web.allow_private", .target = KNAP_AT(web.allow_private)},
      {.name = "web.allowed_hosts", .target = KNAP_AT(web.allowed_hosts)},
      {.name = "web.extra_ports", .target = KNAP_AT(web.extra_ports)},
      {.name = "web.name_server", .target = KNAP_AT(web.name_server)},
      {.name = "web.note_folder", .target = KNAP_AT(web.note_folder)},
      {.name = "web.max_bytes",
       .target = KNAP_AT(web.max_bytes),
       .min = 1024,
       .max = static_cast<double>(extract::kPageBytesMax)},
  };
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return keys;
}

Error bad_value(const ConfigKey& key, std::string_view value, std::string_view wanted) {
  const std::string shown =
      key.kind == ConfigKey::Kind::kSecret ? "***" : std::string(text::truncate(value, 80));
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} is \"{}\", but must be {}", key.name, shown, wanted));
}

template <typename Number>
Status set_number(const ConfigKey& key, const std::string& value, Number& out) {
  double low = std::numeric_limits<Number>::lowest();
  double high = static_cast<double>(std::numeric_limits<Number>::max());
  if (key.min != key.max) {
    low = key.min;
    high = key.max;
  }
  Number parsed{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  // The comparison is written so that it refuses "nan".
  const bool inside = static_cast<double>(parsed) >= low && static_cast<double>(parsed) <= high;
  if (error != std::errc() || end != value.data() + value.size() || !inside) {
    return bad_value(
        key, value,
        fmt::format("a {} from {} to {}", std::is_integral_v<Number> ? "whole number" : "number",
                    low, high));
  }
  out = parsed;
  return {};
}

struct Setter {
  const ConfigKey& key;
  const std::vector<std::string>& values;

  Status one() const {
    if (values.size() == 1) return {};
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} must be one value, not a list", key.name));
  }
  Status operator()(std::vector<std::string>* out) const {
    for (const std::string& value : values) {
      if (!key.choices.empty() &&
          std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
        return bad_value(
            key, value,
            "a list of any of " + fmt::format("{}", fmt::join(key.choices, ", ")) + ", or empty");
      }
    }
    *out = values;
    return {};
  }
  Status operator()(std::string* out) const {
    KNAP_CHECK_OK(one());
    if (!key.choices.empty() &&
        std::find(key.choices.begin(), key.choices.end(), values[0]) == key.choices.end()) {
      return bad_value(key, values[0], "one of " + fmt::format("{}", fmt::join(key.choices, ", ")));
    }
    *out = values[0];
    return {};
  }
  Status operator()(std::filesystem::path* out) const {
    KNAP_CHECK_OK(one());
    if (values[0].empty()) return bad_value(key, values[0], "a folder");
    *out = values[0];
    return {};
  }
  Status operator()(bool* out) const {
    KNAP_CHECK_OK(one());
    const std::string lower = text::fold_case(values[0]);
    if (lower == "true" || lower == "yes" || lower == "on" || lower == "1") {
      *out = true;
    } else if (lower == "false" || lower == "no" || lower == "off" || lower == "0") {
      *out = false;
    } else {
      return bad_value(key, values[0], "true or false");
    }
    return {};
  }
  template <typename Number>
  Status operator()(Number* out) const {
    KNAP_CHECK_OK(one());
    return set_number(key, values[0], *out);
  }
};

struct ToJson {
  boost::json::value operator()(const std::string* value) const {
    return boost::json::string(*value);
  }
  boost::json::value operator()(const bool* value) const { return *value; }
  boost::json::value operator()(const std::filesystem::path* value) const {
    return boost::json::string(value->string());
  }
  boost::json::value operator()(const std::vector<std::string>* value) const {
    return boost::json::array(value->begin(), value->end());
  }
  // Printed through the shortest text, so that .75F does not read 0.75000000001.
  boost::json::value operator()(const float* value) const {
    return std::stod(fmt::format("{}", *value));
  }
  template <typename Number>
  boost::json::value operator()(const Number* value) const {
    return *value;
  }
};

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> kKeys = make_keys();
  return kKeys;
}

const ConfigKey* find_key(std::string_view name) {
  const auto& keys = config_keys();
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

std::string nearest_key(std::string_view name) {
  constexpr std::size_t kFarthest = 6;
  std::string best;
  std::size_t distance = std::min(kFarthest, name.size() / 2 + 1);
  const auto consider = [&](std::string_view candidate) {
    const std::size_t found = text::edit_distance(name, candidate, kFarthest);
    if (found < distance) {
      distance = found;
      best = candidate;
    }
  };
  consider("vaults");
  for (const auto& key : config_keys()) consider(key.name);
  return best;
}

Status set_key(const ConfigKey& key, Config& config, const std::vector<std::string>& values) {
  return std::visit(Setter{key, values}, key.target(config));
}

std::string value_json(const ConfigKey& key, const Config& config) {
  // The target functions take a mutable Config; a copy keeps this function const.
  Config copy = config;
  boost::json::value value = std::visit(ToJson{}, key.target(copy));
  if (key.kind == ConfigKey::Kind::kSecret && value.is_string() && !value.get_string().empty())
    value = "***";
  return json_text(value);
}

}  // namespace knap::app
