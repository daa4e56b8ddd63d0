#include "supervisor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <csignal>
#include <set>

#include "chat_generator.hpp"
#include "knap/models/models.hpp"
#include "test_folder.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Answers /health by its mode; /die ends it at once, /v1/chat/completions writes half an answer and
// dies.
constexpr const char* kFakeRunner = R"(#!/usr/bin/env python3
import os, socketserver, sys
from http.server import BaseHTTPRequestHandler
mode, folder = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
with open(folder + "/starts", "a") as log: log.write("x")
if mode == "crash": sys.exit(7)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/die": os._exit(9)
        if mode == "broken": return self.answer(503, b'{"state":"failed","error":"weights are damaged"}')
        self.answer(200, b'{"state":"ready"}')
    def do_POST(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        event = b'data: {"choices":[{"delta":{"content":"half"},"finish_reason":null}]}\n\n'
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()
        os._exit(9)
    def address_string(self): return "unix"
    def log_message(self, *arguments): pass
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)
socket = sys.argv[sys.argv.index("--socket") + 1]
Server(socket, Handler).serve_forever()
)";

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

class SupervisorTest : public testing::Test {
 protected:
  std::shared_ptr<Supervisor> make(const std::string& mode) {
    Supervisor::Options options = options_;
    options.name = "fake";
    options.command = {folder_.write_program("runner.py", kFakeRunner).string(), mode};
    if (!fallback_mode_.empty())
      options.fallback_command = {options.command.front(), fallback_mode_};
    options.socket = (folder_.path() / "s").string();
    options.prepare = prepare_;
    return std::make_shared<Supervisor>(options, metrics_);
  }
  std::size_t starts() const {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(folder_.path() / "starts", error);
    return error ? 0 : bytes;
  }
  template <typename Condition>
  static bool eventually(const Condition& condition) {
    for (const Deadline patience = Deadline::after(20s); !patience.expired();) {
      if (condition()) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  TestFolder folder_;
  observe::Registry metrics_;
  std::function<Status(const CancelToken&)> prepare_;
  std::string fallback_mode_;
  /// Shorter than the product's.
  Supervisor::Options options_ = [] {
    Supervisor::Options options;
    options.probe_interval = 50ms;
    options.probe_timeout = 400ms;
    options.start_timeout = 20s;
    options.back_off_min = 10ms;
    options.back_off_max = 100ms;
    return options;
  }();
  const std::size_t threads_ = entries("/proc/self/task");
};

TEST_F(SupervisorTest, StartsNothingUntilAsked) {
  const auto supervisor = make("good");
  EXPECT_EQ(supervisor->state(), "installed");
  EXPECT_EQ(starts(), 0U);
}

TEST_F(SupervisorTest, BecomesReadyAndStopsWithinTwoSeconds) {
  auto supervisor = make("good");
  ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
  EXPECT_EQ(supervisor->state(), "ready");
  const pid_t pid = supervisor->pid();
  const auto begin = SteadyClock::now();
  supervisor.reset();
  EXPECT_LT(SteadyClock::now() - begin, 2s);
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(SupervisorTest, ReplacesAKilledRunner) {
  const auto supervisor = make("good");
  ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
  const pid_t first = supervisor->pid();
  ::kill(first, SIGKILL);
  ASSERT_TRUE(
      eventually([&] { return supervisor->pid() != first && supervisor->state() == "ready"; }));
  EXPECT_EQ(metrics_.counter("knap_models_runner_restarts_total", "", {{"model", "fake"}}).value(),
            1U);
}

TEST_F(SupervisorTest, ReplacesAHangingRunner) {
  const auto supervisor = make("good");
  ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
  const pid_t first = supervisor->pid();
  const auto begin = SteadyClock::now();
  ::kill(first, SIGSTOP);
  ASSERT_TRUE(eventually([&] { return supervisor->pid() != first; }));
  EXPECT_LT(SteadyClock::now() - begin, 4s);
  EXPECT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
}

// With the intervals of the product, which the other tests shorten.
TEST_F(SupervisorTest, SeesAKillAndAHangWithinTwoSeconds) {
  options_ = Supervisor::Options{};
  const auto supervisor = make("good");
  for (const int signal : {SIGKILL, SIGSTOP}) {
    ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
    const pid_t first = supervisor->pid();
    const auto begin = SteadyClock::now();
    ::kill(first, signal);
    ASSERT_TRUE(eventually([&] { return supervisor->state() != "ready"; })) << signal;
    EXPECT_LT(SteadyClock::now() - begin, 2s) << signal;
    ASSERT_TRUE(eventually([&] { return supervisor->pid() != first; })) << signal;
    EXPECT_TRUE(eventually([&] { return ::kill(first, 0) != 0; })) << "the old one is gone";
  }
}

TEST_F(SupervisorTest, AHundredLoadsAndUnloadsLeaveNothingBehind) {
  std::set<pid_t> seen;
  std::size_t descriptors = 0;
  for (int cycle = 0; cycle < 100; ++cycle) {
    const auto supervisor = make("good");
    ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
    seen.insert(supervisor->pid());
    supervisor->stop();
    // The first cycle opens what the process keeps: its log, its random numbers.
    if (cycle == 0) descriptors = entries("/proc/self/fd");
  }
  EXPECT_EQ(seen.size(), 100U);
  for (const pid_t pid : seen) EXPECT_NE(::kill(pid, 0), 0) << "neither running nor a zombie";
  EXPECT_LE(entries("/proc/self/fd"), descriptors);
  EXPECT_EQ(entries("/proc/self/task"), threads_);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "s")) << "the socket is gone";
}

TEST_F(SupervisorTest, KeepsTryingACrashingRunnerWithPauses) {
  const auto supervisor = make("crash");
  const auto status = supervisor->wait_ready(Deadline::after(1s), {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
  ASSERT_TRUE(eventually([&] { return starts() >= 3; }));
  EXPECT_EQ(supervisor->state(), "loading");
}

TEST_F(SupervisorTest, RunsTheOtherCommandWhenTheFirstCrashesTwice) {
  fallback_mode_ = "good";
  const auto supervisor = make("crash");
  ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
  EXPECT_EQ(starts(), 3U);
  // Nor is the first one tried again after the other's end.
  ASSERT_EQ(::kill(supervisor->pid(), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return starts() == 4; }));
  ASSERT_TRUE(supervisor->wait_ready(Deadline::after(20s), {}));
  EXPECT_EQ(starts(), 4U);
}

TEST_F(SupervisorTest, GivesUpOnAModelThatCannotBeLoadedUntilRetried) {
  const auto supervisor = make("broken");
  const auto status = supervisor->wait_ready(Deadline::after(20s), {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(supervisor->state(), HasSubstr("failed: weights are damaged"));
  EXPECT_EQ(starts(), 1U);
  supervisor->retry();
  ASSERT_TRUE(eventually([&] { return starts() == 2; }));
}

TEST_F(SupervisorTest, FailsWithTheReasonOfItsPreparation) {
  prepare_ = [](const CancelToken&) -> Status {
    return make_error(ErrorCode::kCorruptData, "checksum differs");
  };
  const auto supervisor = make("good");
  EXPECT_EQ(supervisor->wait_ready(Deadline::after(20s), {}).error().code,
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(supervisor->state(), "failed: checksum differs");
}

TEST_F(SupervisorTest, WaitersLeaveWhenCancelledOrStopped) {
  const auto supervisor = make("crash");
  const CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(supervisor->wait_ready(Deadline::never(), cancel).error().code, ErrorCode::kCancelled);
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    supervisor->stop();
  });
  EXPECT_EQ(supervisor->wait_ready(Deadline::never(), {}).error().code, ErrorCode::kUnavailable);
  stopper.join();
}

TEST_F(SupervisorTest, AnswerOfADyingRunnerIsAnErrorAndTheNextWaitsForItsSuccessor) {
  const auto supervisor = make("good");
  ChatTarget target;
  target.id = "fake";
  target.path = "/v1/chat/completions";
  target.connect = [&](const Hold&, Deadline deadline,
                       const CancelToken& cancel) -> Result<ChatTarget::Connection> {
    KNAP_CHECK_OK(supervisor->wait_ready(deadline, cancel));
    return ChatTarget::Connection{.hold = nullptr,
                                  .client = &supervisor->client(),
                                  .on_broken = [&] { supervisor->suspect(); }};
  };
  const auto generator = make_chat_generator(target, metrics_);
  GenerateRequest request;
  request.messages = {{"user", "hello"}};
  for (int i = 0; i < 2; ++i) {
    std::string seen;
    const auto result =
        generator->generate(request, Deadline::after(20s), {}, [&](std::string_view piece) {
          seen += piece;
          return true;
        });
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(result.error().message, HasSubstr("stopped while answering; try again"));
    EXPECT_EQ(seen, "half") << "it was ready when it was called";
  }
}

TEST(Models, OpensWithoutModelsAndSaysWhatToDo) {
  const TestFolder folder;
  observe::Registry metrics;
  const auto models = Models::open(
      {.models_dir = folder.path() / "models", .run_dir = folder.path() / "run"}, metrics);
  ASSERT_TRUE(models) << models.error().message;
  EXPECT_EQ((*models)->embedder(), nullptr);
  EXPECT_EQ((*models)->generator(), nullptr);
  for (const auto& info : (*models)->list()) EXPECT_EQ(info.state, "absent") << info.name;
  EXPECT_EQ((*models)->verify("smollm2-135m-instruct").error().code, ErrorCode::kNotFound);
  EXPECT_EQ((*models)->remove("smollm2-135m-instruct").error().code, ErrorCode::kNotFound);
}

TEST(Models, OpensWithATruncatedModelAndSaysSo) {
  const TestFolder folder;
  folder.write("models/smollm2-135m-instruct/model.gguf", "GGUF");
  observe::Registry metrics;
  const auto models = Models::open(
      {.models_dir = folder.path() / "models", .run_dir = folder.path() / "run"}, metrics);
  ASSERT_TRUE(models);
  EXPECT_EQ((*models)->generator(), nullptr);
  for (const auto& info : (*models)->list()) {
    if (info.name != "smollm2-135m-instruct") continue;
    EXPECT_THAT(info.state, HasSubstr("failed: model.gguf has 4 bytes"));
  }
}

TEST(Models, RefusesUnknownNamesAndWrongRoles) {
  const TestFolder folder;
  observe::Registry metrics;
  ModelsOptions options{.models_dir = folder.path() / "models", .run_dir = folder.path() / "run"};
  options.answer_model = "smollm2-135m-instruckt";
  EXPECT_THAT(Models::open(options, metrics).error().message,
              HasSubstr("did you mean 'smollm2-135m-instruct'?"));
  options.answer_model = "all-minilm-l6-v2";
  EXPECT_THAT(Models::open(options, metrics).error().message, HasSubstr("is for the role embed"));
}

}  // namespace
}  // namespace knap::models
