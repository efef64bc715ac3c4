//! Which addresses are nobody's on the open internet: a name that resolves to one of them is not
//! followed there unless the operator granted it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not public; nothing, if it is.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    if is_metadata(address) {
        return Some("an address at which a cloud keeps this machine's secrets");
    }
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Addresses at which clouds tell a machine its own secrets. They are not reached through a network
/// that is granted, only by being granted themselves.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    let address = embedded(address).map_or(address, IpAddr::V4);
    match address {
        IpAddr::V4(address) => {
            matches!(
                address.octets(),
                [169, 254, 169, 254 | 253]
                    | [169, 254, 170, 2 | 23]
                    | [100, 100, 100, 200]
                    | [168, 63, 129, 16]
            )
        }
        IpAddr::V6(address) => matches!(
            address.segments(),
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
        ),
    }
}

/// Whether a network covers an address, in whichever way that is written.
pub(super) fn covers(network: &IpNet, address: IpAddr) -> bool {
    network.contains(&address)
        || embedded(address).is_some_and(|inner| network.contains(&IpAddr::V4(inner)))
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (127, ..) => "a loopback address",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "a private address",
        (169, 254, _) => "a link-local address",
        (100, 64..=127, _) => "an address behind a carrier's NAT",
        (0, ..) => "an unspecified address",
        (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) => "an address for special use",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "an address for documentation",
        (224..=239, ..) => "a multicast address",
        (240..=255, ..) => "a reserved address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    if let Some(inner) = embedded(address.into()) {
        // It is an IPv4 address, written as an IPv6 one.
        return special_v4(inner).or(Some("an IPv4 address inside an IPv6 one"));
    }
    let [first, second, ..] = address.segments();
    Some(match first {
        0xfc00..=0xfdff => "a private address",
        0xfe80..=0xfebf => "a link-local address",
        0xfec0..=0xfeff => "a site-local address",
        0xff00..=0xffff => "a multicast address",
        0x2001 if second == 0xdb8 || second < 0x200 => "an address for special use",
        0x3fff if second < 0x1000 => "an address for documentation",
        0x2000..=0x3fff => return None,
        _ => "a reserved address",
    })
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, translated (NAT64) or 6to4.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            Some(join(high, low))
        }
        [0x64, 0xff9b, 0 | 1, .., high, low] | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_open_internet_are_public() {
        for public in ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "100.63.0.1", "172.32.0.1"]
        {
            assert_eq!(special(public.parse().expect("an address")), None, "{public}");
        }
        for special_one in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(special(special_one.parse().expect("an address")).is_some(), "{special_one}");
        }
    }

    #[test]
    fn a_network_covers_an_address_in_its_coat_too() {
        let network: IpNet = "10.0.0.0/8".parse().expect("a network");
        for (address, inside) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::a01:203", true),
            ("11.1.2.3", false),
            ("::1", false),
        ] {
            assert_eq!(covers(&network, address.parse().expect("an address")), inside, "{address}");
        }
    }

    #[test]
    fn metadata_addresses_are_known_in_each_coat() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_metadata(address.parse().expect("an address")), "{address}");
        }
        assert!(!is_metadata("169.254.1.1".parse().expect("an address")));
    }
}
