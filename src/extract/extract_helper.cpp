// The program that reads hostile files in the sandbox. A program of its own: what it does not link,
// a hostile file cannot misuse, and it starts in a few milliseconds.
#include "knap/extract/web_page.hpp"

int main(int count, char** arguments) { return knap::extract::helper_main(count, arguments); }
