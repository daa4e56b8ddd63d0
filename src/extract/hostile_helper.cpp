// Does what a helper must not do, and says on standard output how far it came.
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

// NOLINTBEGIN(concurrency-mt-unsafe,clang-analyzer-unix.Malloc): one thread, and leaking is the
// point.
namespace {

constexpr std::size_t kChunk = 1 << 20;

void report(bool done) { std::puts(done ? "done" : std::strerror(errno)); }

void fork_without_end() {
  int made = 0;
  while (::fork() >= 0 && made < 1000) ++made;
  std::printf("%d\n", made);
}

void make_threads_without_end() {
  int made = 0;
  pthread_t thread{};
  const auto sleep = [](void*) -> void* {
    ::pause();
    return nullptr;
  };
  while (made < 1000 && ::pthread_create(&thread, nullptr, sleep, nullptr) == 0) ++made;
  std::printf("%d\n", made);
}

void allocate_without_end() {
  std::size_t got = 0;
  while (void* block = std::malloc(kChunk)) {
    std::memset(block, 1, kChunk);
    ++got;
  }
  std::printf("%zu\n", got);
}

void write_without_end() {
  static char block[kChunk];
  while (::write(1, block, sizeof block) > 0) {
  }
}

void open_without_end() {
  int opened = 0;
  while (::dup(0) >= 0) ++opened;
  std::printf("%d\n", opened);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view what = count > 1 ? arguments[1] : "";
  const char* const path = count > 2 ? arguments[2] : "";
  if (what == "copy") {
    char byte = 0;
    while (::read(0, &byte, 1) == 1) ::write(1, &byte, 1);
  }
  if (what == "read") report(::open(path, O_RDONLY) >= 0);
  if (what == "create") report(::open(path, O_WRONLY | O_CREAT, 0600) >= 0);
  if (what == "internet") report(::socket(AF_INET, SOCK_STREAM, 0) >= 0);
  if (what == "unix") report(::socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
  if (what == "kill") report(::kill(::getppid(), 0) == 0);
  if (what == "run") report(::execl(path, path, nullptr) == 0);
  if (what == "niceness") std::printf("%d\n", ::getpriority(PRIO_PROCESS, 0));
  if (what == "environment") report(std::getenv("PATH") != nullptr);
  if (what == "fork") fork_without_end();
  if (what == "threads") make_threads_without_end();
  if (what == "allocate") allocate_without_end();
  if (what == "write") write_without_end();
  if (what == "open") open_without_end();
  if (what == "sleep") ::sleep(1000);
  if (what == "silent") {
    ::close(1);
    ::close(2);
    ::sleep(1000);
  }
  if (what == "stubborn") std::signal(SIGXCPU, SIG_IGN);
  volatile unsigned turns = 0;
  while (what == "compute" || what == "stubborn") turns = turns + 1;
  return 0;
}
// NOLINTEND(concurrency-mt-unsafe,clang-analyzer-unix.Malloc)
