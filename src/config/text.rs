//! How settings that are written as text are read and written back.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// `server.listen`: an address with a port.
pub mod address {
    use super::*;
    use std::net::SocketAddr;

    /// Writes `127.0.0.1:8080`.
    pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    /// Reads an address; names are not looked up.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        let with_numbers = text.replace("localhost:", "127.0.0.1:");
        with_numbers.parse().map_err(|_| {
            D::Error::custom(format!(
                "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, got {text:?}"
            ))
        })
    }
}

/// `server.public_url`: empty means none.
pub mod optional_url {
    use super::*;
    use url::Url;

    /// Writes the URL, or nothing.
    pub fn serialize<S: Serializer>(url: &Option<Url>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_ref().map_or("", Url::as_str))
    }

    /// Reads a URL that begins with a scheme.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let url = Url::parse(&text);
        url.map(Some).map_err(|error| {
            D::Error::custom(format!("must be a full URL such as https://track.example.com, got {text:?} ({error})"))
        })
    }
}

/// `server.trusted_proxies`: networks; a bare address is a network of one.
pub mod networks {
    use super::*;
    use ipnet::IpNet;
    use std::net::IpAddr;

    /// Writes each as `10.0.0.0/8`.
    pub fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(ToString::to_string))
    }

    /// Reads `10.0.0.0/8`, `10.1.2.3` or `fd00::/8`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| parse_network(text).map_err(D::Error::custom)).collect()
    }

    fn parse_network(text: &str) -> Result<IpNet, String> {
        let as_network = text.parse::<IpNet>().ok();
        let as_address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        as_network
            .or_else(as_address)
            .ok_or_else(|| format!("must be addresses or networks such as 10.0.0.0/8, got {text:?}"))
    }
}
