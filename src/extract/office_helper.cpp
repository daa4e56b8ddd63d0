// The program that reads office files in the sandbox. A program of its own: what it does not link,
// a hostile file cannot misuse, and it starts in a few milliseconds.
#include <cstdio>

#include "office_child.hpp"

int main(int count, char** arguments) {
  if (count == 2) return knap::extract::office_child_main(arguments[1]);
  std::fputs("knap-office is run by knap, in a sandbox: knap-office FORMAT < FILE\n", stderr);
  return 2;
}
