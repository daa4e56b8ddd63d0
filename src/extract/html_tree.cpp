#include "html_tree.hpp"

#include <csetjmp>
#include <cstdlib>
#include <string>

namespace knap::extract::html {

/// All memory of one run of the parser: counted, and given back at once. The parser's own way of
/// giving back descends into the tree and would overflow the stack on a deep one. It does not look
/// for a refused allocation either: the way out is a jump, past C frames only.
class ParserMemory {
 public:
  ParserMemory() = default;
  ParserMemory(const ParserMemory&) = delete;
  ParserMemory& operator=(const ParserMemory&) = delete;
  ~ParserMemory() {
    while (first_ != nullptr) {
      Block* next = first_->next;
      std::free(first_);
      first_ = next;
    }
  }

  static void* allocate(void* self, std::size_t bytes) {
    return static_cast<ParserMemory*>(self)->get(bytes);
  }
  static void release(void* self, void* pointer) { static_cast<ParserMemory*>(self)->put(pointer); }
  std::jmp_buf& way_out() { return way_out_; }

 private:
  struct alignas(std::max_align_t) Block {
    Block* next = nullptr;
    Block* previous = nullptr;
    std::size_t bytes = 0;
  };

  void* get(std::size_t bytes) {
    if (bytes > kParserBytesMax - used_) full();
    auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    if (block == nullptr) full();
    *block = {first_, nullptr, bytes};
    if (first_ != nullptr) first_->previous = block;
    first_ = block;
    used_ += bytes;
    return block + 1;
  }
  void put(void* pointer) {
    if (pointer == nullptr) return;
    Block* block = static_cast<Block*>(pointer) - 1;
    used_ -= block->bytes;
    if (block->next != nullptr) block->next->previous = block->previous;
    (block->previous != nullptr ? block->previous->next : first_) = block->next;
    std::free(block);
  }
  // NOLINTNEXTLINE(cert-err52-cpp,modernize-avoid-setjmp-longjmp): see the class
  [[noreturn]] void full() { std::longjmp(way_out_, 1); }

  Block* first_ = nullptr;
  std::size_t used_ = 0;
  std::jmp_buf way_out_{};
};

namespace {

/// Null: out of memory. No object with a destructor may live here: it is jumped out of.
const GumboOutput* run_parser(ParserMemory& memory, const char* bytes, std::size_t size) {
  GumboOptions options = kGumboDefaultOptions;
  options.allocator = &ParserMemory::allocate;
  options.deallocator = &ParserMemory::release;
  options.userdata = &memory;
  options.max_errors = 0;
  // NOLINTNEXTLINE(cert-err52-cpp,modernize-avoid-setjmp-longjmp): see ParserMemory
  if (setjmp(memory.way_out()) != 0) return nullptr;
  return ::gumbo_parse_with_options(&options, bytes, size);
}

bool is_text_node(const GumboNode& node) {
  return node.type == GUMBO_NODE_TEXT || node.type == GUMBO_NODE_WHITESPACE ||
         node.type == GUMBO_NODE_CDATA;
}

bool is_element_node(const GumboNode& node) {
  return node.type == GUMBO_NODE_ELEMENT || node.type == GUMBO_NODE_TEMPLATE;
}

}  // namespace

Id Tree::copy_node(const GumboNode& from, Id parent) {
  Node node;
  if (is_text_node(from)) {
    node.is_text = true;
    node.text = from.v.text.text;
  } else {
    node.tag = from.v.element.tag;
    if (from.v.element.attributes.length > 0) node.attributes = &from.v.element.attributes;
  }
  nodes_.push_back(node);
  const Id id{static_cast<std::uint32_t>(nodes_.size() - 1)};
  if (parent != kNone) append(parent, id);
  return id;
}

Result<Tree> Tree::parse(std::string_view utf8) {
  const auto too_much = [](const char* what) {
    return make_error(ErrorCode::kResourceExhausted, std::string("the page has ") + what);
  };
  if (utf8.size() > kHtmlBytesMax) return too_much("more than 16 MiB of HTML");
  auto memory = std::make_shared<ParserMemory>();
  const GumboOutput* output = run_parser(*memory, utf8.data(), utf8.size());
  if (output == nullptr) return too_much("markup that needs more than 256 MiB to read");
  Tree tree;
  tree.memory_ = memory;
  struct Step {
    const GumboNode* from = nullptr;
    Id parent = kNone;
    std::uint32_t depth = 0;
  };
  std::vector<Step> waiting{{output->root, kNone, 0}};
  while (!waiting.empty()) {
    const Step step = waiting.back();
    waiting.pop_back();
    if (!is_text_node(*step.from) && !is_element_node(*step.from)) continue;  // comments
    Id id = step.parent;
    if (step.depth < kDepthMax || is_text_node(*step.from)) {
      if (tree.nodes_.size() >= kNodesMax) return too_much("more than 400,000 elements and texts");
      id = tree.copy_node(*step.from, step.parent);
    }
    if (is_text_node(*step.from)) continue;
    if (tree.body_ == kNone && step.from->v.element.tag == GUMBO_TAG_BODY) tree.body_ = id;
    const GumboVector& children = step.from->v.element.children;
    for (unsigned i = children.length; i > 0; --i)
      waiting.push_back({static_cast<const GumboNode*>(children.data[i - 1]), id, step.depth + 1});
  }
  tree.root_ = Id{0};
  if (tree.body_ == kNone) {  // a frameset
    tree.body_ = tree.make(GUMBO_TAG_BODY);
    tree.append(tree.root_, tree.body_);
  }
  return tree;
}

std::string_view Tree::attribute(Id id, const char* name) const {
  const GumboVector* attributes = at(id).attributes;
  if (attributes == nullptr) return {};
  const GumboAttribute* found = ::gumbo_get_attribute(attributes, name);
  return found == nullptr ? std::string_view() : std::string_view(found->value);
}

bool Tree::has_attribute(Id id, const char* name) const {
  const GumboVector* attributes = at(id).attributes;
  return attributes != nullptr && ::gumbo_get_attribute(attributes, name) != nullptr;
}

Id Tree::following(Id id, Id top) const {
  return at(id).first != kNone ? at(id).first : after(id, top);
}

Id Tree::after(Id id, Id top) const {
  while (id != top && id != kNone) {
    if (at(id).next != kNone) return at(id).next;
    id = at(id).parent;
  }
  return kNone;
}

Id Tree::next_element(Id id) const {
  for (id = at(id).next; id != kNone && at(id).is_text;) id = at(id).next;
  return id;
}

Id Tree::first_element(Id id) const {
  id = at(id).first;
  while (id != kNone && at(id).is_text) id = at(id).next;
  return id;
}

std::size_t Tree::element_count(Id id) const {
  std::size_t count = 0;
  for (Id child = first_element(id); child != kNone; child = next_element(child)) ++count;
  return count;
}

bool Tree::has_ancestor(Id id, GumboTag tag, std::uint32_t steps) const {
  Id above = at(id).parent;
  for (std::uint32_t i = 0; i < steps && above != kNone; ++i, above = at(above).parent)
    if (at(above).tag == tag) return true;
  return false;
}

std::vector<Id> Tree::all(Id top, GumboTag tag) const {
  std::vector<Id> out;
  for (Id id = following(top, top); id != kNone; id = following(id, top))
    if (is(id, tag)) out.push_back(id);
  return out;
}

void Tree::remove(Id id) {
  Node& node = at(id);
  if (node.previous != kNone) at(node.previous).next = node.next;
  if (node.next != kNone) at(node.next).previous = node.previous;
  if (node.parent != kNone) {
    if (at(node.parent).first == id) at(node.parent).first = node.next;
    if (at(node.parent).last == id) at(node.parent).last = node.previous;
  }
  node.parent = node.previous = node.next = kNone;
}

void Tree::append(Id parent, Id child) {
  remove(child);
  Node& node = at(child);
  node.parent = parent;
  node.previous = at(parent).last;
  if (node.previous != kNone)
    at(node.previous).next = child;
  else
    at(parent).first = child;
  at(parent).last = child;
}

void Tree::insert_before(Id place, Id child) {
  remove(child);
  Node& node = at(child);
  node.parent = at(place).parent;
  node.next = place;
  node.previous = at(place).previous;
  if (node.previous != kNone)
    at(node.previous).next = child;
  else if (node.parent != kNone)
    at(node.parent).first = child;
  at(place).previous = child;
}

void Tree::replace(Id old_id, Id new_id) {
  insert_before(old_id, new_id);
  remove(old_id);
}

Id Tree::make(GumboTag tag) {
  Node node;
  node.tag = tag;
  nodes_.push_back(node);
  return Id{static_cast<std::uint32_t>(nodes_.size() - 1)};
}

}  // namespace knap::extract::html
