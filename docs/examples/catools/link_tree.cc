#include "docs/examples/catools/link_tree.h"

#include <charconv>
#include <map>

#include <fmt/core.h>

namespace tools {
namespace {

// INPA, INPB and so on.
std::vector<std::string> lettered(std::string_view prefix, int count) {
  std::vector<std::string> fields;
  for (int i = 0; i < count; ++i) fields.push_back(fmt::format("{}{}", prefix, static_cast<char>('A' + i)));
  return fields;
}

std::vector<std::string> numbered(std::string_view prefix, int first, int last) {
  std::vector<std::string> fields;
  for (int i = first; i <= last; ++i) fields.push_back(fmt::format("{}{:X}", prefix, i));
  return fields;
}

// The record types of EPICS Base 7.0, by its reference manual of records.
const std::map<std::string, std::vector<std::string>, std::less<>>& types() {
  static const auto* const all = [] {
    auto* const made = new std::map<std::string, std::vector<std::string>, std::less<>>;
    for (const char* type : {"aai", "ai", "bi", "compress", "event", "int64in", "longin", "lsi", "mbbi", "mbbiDirect", "stringin", "subArray", "waveform"}) {
      (*made)[type] = {"INP"};
    }
    for (const char* type : {"aao", "ao", "bo", "dfanout", "int64out", "longout", "lso", "mbbo", "mbboDirect", "stringout"}) (*made)[type] = {"DOL"};
    for (const char* type : {"calc", "calcout", "sel", "sub"}) (*made)[type] = lettered("INP", 12);
    (*made)["sel"].push_back("NVL");
    (*made)["aSub"] = lettered("INP", 21);
    (*made)["seq"] = numbered("DOL", 0, 15);
    (*made)["printf"] = numbered("INP", 0, 9);
    (*made)["fanout"] = {"SELL"};
    (*made)["histogram"] = {"SVL"};
    return made;
  }();
  return *all;
}

bool is_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::vector<std::string> link_fields(std::string_view record_type) {
  const auto found = types().find(record_type);
  return found == types().end() ? std::vector<std::string>() : found->second;
}

Link parse_link(std::string_view text) {
  Link link{.target = {}, .text = std::string(text)};
  if (text.empty() || text.front() == '@' || text.front() == '#') return link;  // nothing, or hardware
  const std::size_t end = text.find(' ');
  const std::string_view first = text.substr(0, end);
  if (is_number(first)) return link;
  link.target = first;
  const std::string flags = " " + std::string(end == std::string_view::npos ? "" : text.substr(end + 1)) + " ";
  for (const char* flag : {" MS ", " MSS ", " MSI "}) link.passes_severity |= flags.find(flag) != std::string::npos;
  return link;
}

std::string record_of(std::string_view name) { return std::string(name.substr(0, name.find('.'))); }

}  // namespace tools
