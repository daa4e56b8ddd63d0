// Prints the readable part of each HTML file named, as one JSON object a line: for measurements
// (bench/readable.py) and for looking.
#include <cstdio>

#include <boost/json.hpp>

#include "knap/base/file.hpp"
#include "knap/extract/web_page.hpp"

int main(int count, char** paths) {
  using knap::extract::Block;
  bool all = true;
  for (int i = 1; i < count; ++i) {
    boost::json::object out{{"file", paths[i]}};
    const auto bytes = knap::read_file(paths[i], knap::extract::kPageBytesMax);
    const auto page =
        bytes ? knap::extract::read_page_here(*bytes, {"http://fakehost/test/page.html", ""})
              : knap::Result<knap::extract::WebPage>(bytes.error());
    if (page) {
      std::string text;
      for (const Block& block : page->document.blocks) text += block.text + "\n";
      out["title"] = page->document.title;
      out["author"] = page->document.author;
      out["published"] = page->document.created;
      out["language"] = page->language;
      out["canonical"] = page->canonical;
      out["text"] = text;
      out["markdown"] = page->markdown;
    } else {
      out["error"] = page.error().message;
      all = false;
    }
    std::puts(boost::json::serialize(out).c_str());
  }
  return all ? 0 : 1;
}
