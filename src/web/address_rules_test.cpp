#include "address_rules.hpp"

#include <gtest/gtest.h>

namespace knap::web {
namespace {

Reach reach(const char* text) {
  const auto address = parse_address(text);
  EXPECT_TRUE(address) << text;
  return address ? reach_of(*address) : Reach::kNever;
}

TEST(AddressRules, LetPublicAddressesThrough) {
  for (const char* text :
       {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
        "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111",
        "2a00:1450::1", "2001:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"})
    EXPECT_EQ(reach(text), Reach::kPublic) << text;
}

TEST(AddressRules, KnowThisMachineAndItsNetwork) {
  for (const char* text :
       {"127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1",
        "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "::1", "fc00::1",
        "fdff::1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:192.168.1.1"})
    EXPECT_EQ(reach(text), Reach::kPrivate) << text;
}

TEST(AddressRules, RefuseWhatIsNoPlaceForPages) {
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "169.254.169.254",
                           "169.254.0.1",
                           "100.100.100.200",
                           "192.0.0.192",
                           "168.63.129.16",
                           "192.0.2.1",
                           "192.88.99.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.7",
                           "203.0.113.9",
                           "224.0.0.1",
                           "239.1.1.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::7f00:1",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1",
                           "fd00:ec2::254",
                           "64:ff9b::7f00:1",
                           "64:ff9b::a9fe:a9fe",
                           "64:ff9b::a00:1",
                           "64:ff9b:1::808:808",
                           "2002:7f00:1::1",
                           "2002:808:808::1",
                           "2001::1",
                           "2001:0:808:808::1",
                           "2001:10::1",
                           "2001:20::1",
                           "2001:db8::1",
                           "3fff::1",
                           "100::1",
                           "::ffff:169.254.169.254",
                           "::ffff:0:127.0.0.1",
                           "5f00::1",
                           "4000::1"})
    EXPECT_EQ(reach(text), Reach::kNever) << text;
}

TEST(AddressRules, ReadOnlyTheStrictForms) {
  for (const char* text : {"127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "127.0.0.1 ", "",
                           "[::1]", "fe80::1%eth0", "1.2.3.4.5"})
    EXPECT_FALSE(parse_address(text)) << text;
  EXPECT_EQ(parse_address("::FFFF:1.2.3.4")->text(), "::ffff:1.2.3.4");
}

}  // namespace
}  // namespace knap::web
