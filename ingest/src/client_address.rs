//! Who the client of a request is, behind proxies that we trust.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The client whose failing requests are counted together: an IPv4 address, or the /64 of an
/// IPv6 address (one customer of a provider has at least that much).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    /// Stands for every client that cannot be told apart.
    pub const SHARED: ClientKey = ClientKey(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// The key of an address.
    pub fn of(address: IpAddr) -> ClientKey {
        match address.to_canonical() {
            IpAddr::V4(address) => ClientKey(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                ClientKey(IpAddr::V6(Ipv6Addr::from(prefix)))
            }
        }
    }
}

/// The client of a request. The connection's own address decides, unless it belongs to a trusted
/// proxy: then the rightmost entry of `X-Forwarded-For` that is no trusted proxy does, because
/// entries further left can be invented by the client.
pub fn client_of(peer: Option<IpAddr>, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> ClientKey {
    let Some(peer) = peer.map(|address| address.to_canonical()) else { return ClientKey::SHARED };
    let is_trusted = |address: &IpAddr| trusted_proxies.iter().any(|proxy| proxy.contains(address));
    let mut client = peer;
    if is_trusted(&peer) {
        let lines: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = forwarded_address(entry.trim()) else { break };
            client = address;
            if !is_trusted(&address) {
                break;
            }
        }
    }
    ClientKey::of(client)
}

/// `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5678`.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().or_else(|_| entry.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> ClientKey {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("a net")).collect();
        client_of(Some(peer.parse().expect("an address")), &headers, &trusted)
    }

    fn key(address: &str) -> ClientKey {
        ClientKey(address.parse().expect("an address"))
    }

    #[test]
    fn strangers_cannot_name_themselves() {
        assert_eq!(client("9.9.9.9", &["1.1.1.1"], &["10.0.0.0/8"]), key("9.9.9.9"));
        assert_eq!(client_of(None, &HeaderMap::new(), &[]), ClientKey::SHARED);
    }

    #[test]
    fn the_rightmost_untrusted_hop_counts() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], trusted), key("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "1.2.3.4:99"], trusted), key("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["10.0.0.3"], trusted), key("10.0.0.3"));
        assert_eq!(client("10.0.0.1", &["1.2.3.4, junk, 10.0.0.2"], trusted), key("10.0.0.2"));
        assert_eq!(client("10.0.0.1", &[], trusted), key("10.0.0.1"));
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4"], trusted), key("1.2.3.4"));
    }

    #[test]
    fn ipv6_counts_by_its_first_half() {
        assert_eq!(client("2001:db8:1:2:3::4", &[], &[]), key("2001:db8:1:2::"));
        assert_eq!(client("10.0.0.1", &["[2001:db8:1:2:aaaa::9]:443"], &["10.0.0.1/32"]), key("2001:db8:1:2::"));
        assert_eq!(client("::ffff:9.9.9.9", &[], &[]), key("9.9.9.9"));
    }
}
