#include "docs/examples/catools/link_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(LinkTreeTest, AProcessVariableIsALink) {
  EXPECT_EQ(parse_link("REC.VAL").target, "REC.VAL");
  EXPECT_EQ(parse_link("REC CP NMS").target, "REC");
  EXPECT_FALSE(parse_link("REC CP NMS").passes_severity);
  for (const char* flag : {"MS", "MSS", "MSI"}) EXPECT_TRUE(parse_link(std::string("REC.VAL NPP ") + flag).passes_severity) << flag;
}

TEST(LinkTreeTest, ANumberOrHardwareIsNone) {
  for (const char* text : {"", "5", "-2.5e3", "@asyn(PORT,0)", "#C0 S0 @"}) {
    EXPECT_THAT(parse_link(text).target, IsEmpty()) << text;
    EXPECT_EQ(parse_link(text).text, text);
  }
  EXPECT_EQ(parse_link("5a").target, "5a");  // a record may be called so
}

TEST(LinkTreeTest, EachTypeHasItsFields) {
  EXPECT_THAT(link_fields("ai"), ElementsAre("INP"));
  EXPECT_THAT(link_fields("ao"), ElementsAre("DOL"));
  EXPECT_THAT(link_fields("calc"), SizeIs(12));
  EXPECT_EQ(link_fields("calc").back(), "INPL");
  EXPECT_EQ(link_fields("aSub").back(), "INPU");
  EXPECT_EQ(link_fields("seq").back(), "DOLF");
  EXPECT_THAT(link_fields("of a site's own"), IsEmpty());
}

TEST(LinkTreeTest, TheRecordIsWhatIsBeforeThePoint) {
  EXPECT_EQ(record_of("REC.VAL"), "REC");
  EXPECT_EQ(record_of("REC"), "REC");
}

}  // namespace
}  // namespace tools
