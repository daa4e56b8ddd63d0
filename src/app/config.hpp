#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/answer/answer.hpp"
#include "knap/api/api.hpp"
#include "knap/base/result.hpp"
#include "knap/cache/layers.hpp"
#include "knap/index/service.hpp"
#include "knap/observe/log.hpp"

namespace knap::app {

/// Every setting of the program, with its default. The keys of knap.yaml stand in config_keys.cpp.
struct Config {
  struct {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8000;
    std::vector<std::string> allowed_origins, allowed_hosts;
    std::uint64_t max_body_bytes = 32U << 20;
    std::uint32_t slow_request_ms = 500;
    std::uint64_t compress_from_bytes = 32U << 10;
  } server;
  std::filesystem::path data_dir;
  std::vector<index::VaultConfig> vaults;
  struct {
    bool watch = true;
    std::uint32_t scan_interval_s = 300;
    std::uint64_t max_file_bytes = 64U << 20;
    bool pdf = true;
    std::uint64_t pdf_max_file_bytes = 256U << 20;
    std::uint32_t pdf_max_pages = 5'000;
    bool ocr = true;
    std::uint32_t ocr_max_pages = 100;
    bool audio = false;
    std::uint64_t audio_max_file_bytes = 1ULL << 30;
    bool office = true;
    std::uint64_t office_max_file_bytes = 64U << 20;
    std::string weak_sandbox = "refuse";
    bool learn_boilerplate = true;
  } index;
  struct {
    std::filesystem::path dir;
    std::string embed = "all-minilm-l6-v2";
    std::string answer = "smollm2-135m-instruct";
    std::string speech = "whisper-base";
    std::string rerank;  ///< Empty: none.
    std::uint32_t threads = 0;
    std::uint64_t memory_bytes = 0;
    std::uint32_t keep_alive_s = 1'800;
    std::vector<std::string> warm, pinned;
    std::uint32_t replicas = 1;
    struct {
      std::string use = "auto";
      double memory_fraction = 0.9;
    } gpu;
    std::string hub;
    bool offline = false;
    std::vector<std::string> fallback;
    struct {
      std::string url, model, key, shape = "openai";
      bool forbid = false;
      std::uint32_t context_tokens = 8'192, silence_ms = 30'000;
      double price_read = 0, price_write = 0;
    } remote;
  } models;
  struct {
    bool enabled = false, allow_private = false;
    std::vector<std::string> allowed_hosts, extra_ports;
    std::string name_server;
    std::filesystem::path note_folder;
    std::uint64_t max_bytes = 8U << 20;
  } web;
  struct {
    std::string language;
  } speech;
  struct {
    bool levels = true;
    std::uint32_t search_threads = 0, answer_threads = 8;
    std::uint32_t search_waiting = 256, answer_waiting = 32;
    std::uint32_t queue_target_ms = 100;
    bool pin_threads = false;
    std::uint64_t memory_bytes = 0;
    std::filesystem::path cgroup_dir = "/sys/fs/cgroup";
  } service;
  struct {
    bool enabled = true;
    std::string environment = "production";
    std::uint32_t pending_s = 60;
    std::string webhook;
    std::vector<std::string> email_to;
    std::string email_from = "knap@localhost";
    std::string smtp, smtp_user, smtp_password;
    std::string sendmail = "/usr/sbin/sendmail";
  } alerts;
  struct {
    std::string endpoint;
    double sample = 1;
  } otlp;
  search::RankingSettings ranking;
  struct {
    std::uint32_t depth = 20;
    float weight = 0.7F;
  } rerank;
  struct {
    std::string judged_questions;
  } search;
  answer::Answerer::Options answer;
  struct {
    std::uint64_t memory_bytes = 256ULL << 20, disk_bytes = 1ULL << 30;
  } read_ahead;
  struct {
    std::vector<std::string> layers{"memory", "disk"};
    std::uint64_t memory_bytes = 256ULL << 20, disk_bytes = 1ULL << 30;
    std::uint32_t memory_seconds = 300, disk_seconds = 3'600;  ///< 0: no limit, as below.
    std::uint32_t search_seconds = 1'800, answer_seconds = 3'600;
    std::uint32_t warm_questions = 50;
    bool reworded = false;
    struct {
      std::vector<std::string> addresses{"127.0.0.1:6379"};
      std::string user, password, ca_file;
      std::string master_name = "mymaster", prefix = "knap";
      std::uint32_t database = 0, seconds = 86'400, timeout_ms = 20;
      bool tls = false;
    } redis;
  } cache;
  struct {
    std::string level = "info";
    std::string format = "text";
    std::string file;
    std::uint64_t file_bytes_max = 16U << 20;
  } log;

  std::filesystem::path file;  ///< The configuration file that was read; empty: none.
  std::map<std::string, std::string>
      sources;  ///< Key -> "file", "environment", "command line"; absent: default.
};

/// What the command line says, key -> value as text; vaults as "[NAME=]DIR".
struct CommandLine {
  std::optional<std::filesystem::path> config_file;
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<std::string> vaults;
};

/// Environment variables by name, so that tests need not change the process.
using Environment = std::map<std::string, std::string>;
Environment process_environment();

/// Reads all sources in order of precedence: command line, environment, file, default.
/// The file: --config, else $KNAP_CONFIG, else ./knap.yaml, else $XDG_CONFIG_HOME/knap/knap.yaml,
/// where present. Errors: kInvalidArgument with file, line, key and the nearest valid one;
/// kNotFound (a named file).
Result<Config> load_config(const CommandLine& command_line, const Environment& environment);

/// Where load_config would look for a file that need not exist: what `knap models use` writes to.
std::filesystem::path user_config_file(const Environment& environment);

/// Effective settings with their sources, secrets masked; sorted by key.
std::vector<api::Setting> describe(const Config& config);

/// Parses "[NAME=]DIR". The name defaults to the folder's own. Errors: kInvalidArgument.
Result<index::VaultConfig> parse_vault(std::string_view text);

observe::LogOptions log_options(const Config& config);
/// Nothing when no layer is wanted.
/// The file of judged questions: search.judged_questions, else judged.yaml in the data folder where
/// it is there; empty: there is none.
std::filesystem::path judged_questions_file(const Config& config);
std::optional<cache::Layers::Options> cache_options(const Config& config);

}  // namespace knap::app
