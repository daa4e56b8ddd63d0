// One question a line from standard input; its print, as hexadecimal hash, a line to standard
// output. bench/reworded.py asks it what sharing answers would get wrong.
#include <cstdio>
#include <iostream>
#include <string>

#include "knap/answer/reworded.hpp"
#include "knap/base/hash.hpp"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const std::string print = knap::answer::reworded_print(line);
    std::printf("%s\n", print.empty() ? "-" : knap::hash128(print).hex().c_str());
  }
}
