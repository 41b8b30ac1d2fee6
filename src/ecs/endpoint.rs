//! Where the cloud is: by region as the SDKs find it, or where the administrator says.

use std::fmt;
use std::net::IpAddr;

use arcstr::ArcStr;
use reqwest::Url;

/// The name of a region. Its characters cannot change the meaning of a host name or a signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(pub(crate) ArcStr);

/// A text is not a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region is 1 to 32 lower-case letters, digits and -: write it as the console does, such as cn-beijing")]
pub struct RegionError;

impl Region {
    /// Reads `^[a-z0-9-]{1,32}$`. A rule and not a list: new regions appear without notice.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ((1..=32).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.into())).ok_or(RegionError)
    }

    /// The region as the cloud spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An administrator's choice of host: no path, no query, nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(Url);

/// A text is not an endpoint. The text is not repeated, it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is https://host[:port] and nothing more; http:// is for a host on the loopback interface only")]
pub struct EndpointError;

impl Endpoint {
    /// Reads `https://host[:port]`, a bare `host[:port]` (which means https), or `http://host[:port]`
    /// with `localhost`, `127.0.0.0/8` or `[::1]`: a signed request must not cross a network in clear.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
            return Err(EndpointError);
        }
        let with_scheme = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
        let endpoint = with_scheme.map(Self).map_err(|_| EndpointError)?;
        let only_a_host = endpoint.0.path() == "/" && endpoint.0.query().is_none() && endpoint.0.fragment().is_none();
        let safe = match endpoint.0.scheme() {
            "https" => true,
            "http" => endpoint.is_loopback(),
            _ => false,
        };
        (only_a_host && safe).then_some(endpoint).ok_or(EndpointError)
    }

    /// Whether requests go in clear, which [`Endpoint::parse`] allows on the loopback interface only.
    pub(super) fn is_clear(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether the host is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// The address of the service for a region; the override wins over the SDKs' rule.
pub(super) fn address(endpoint: Option<&Endpoint>, region: &Region) -> Url {
    if let Some(Endpoint(url)) = endpoint {
        return url.clone();
    }
    let host = if OWN_HOST.contains(&region.as_str()) {
        format!("ecs.{region}.volcengineapi.com")
    } else {
        "open.volcengineapi.com".to_owned()
    };
    Url::parse(&format!("https://{host}/")).expect("host names of regions are lower-case letters, digits, - and .")
}

/// The address of STS; one host serves all regions (volcengine-go-sdk v1.2.49, `DefaultEndpoint`).
pub(super) fn sts(endpoint: Option<&Endpoint>) -> Url {
    let own = || Url::parse("https://sts.volcengineapi.com/").expect("it is a URL");
    endpoint.map_or_else(own, |Endpoint(url)| url.clone())
}

/// The host as it goes over the wire: with its port unless that is the scheme's own.
pub(super) fn host(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default();
    address.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Regions with a host of their own: the bootstrap list of the Go and Python SDKs
/// (volcengine-go-sdk v1.2.49, `volcengine/endpoints`). All others share one host.
const OWN_HOST: [&str; 5] =
    ["cn-beijing-autodriving", "cn-shanghai-autodriving", "cn-beijing-selfdrive", "ap-southeast-2", "ap-southeast-3"];

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn shown(text: &str) -> Result<String, EndpointError> {
        Endpoint::parse(text).map(|endpoint| endpoint.to_string())
    }

    fn address_of(endpoint: Option<&str>, region: &str) -> String {
        let endpoint = endpoint.map(|text| Endpoint::parse(text).unwrap());
        address(endpoint.as_ref(), &Region::parse(region).unwrap()).to_string()
    }

    #[test]
    fn a_region_is_any_short_word_of_lower_case_letters_digits_and_dashes() {
        let longest = "a".repeat(32);
        for good in ["cn-beijing", "cn-north-1", "ap-southeast-3", &longest] {
            assert_eq!(Region::parse(good).map(|region| region.to_string()), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(33);
        for bad in ["", "CN-beijing", "cn_beijing", "a.evil.example", "a/b", "a@b", "a:1", "a ", "a\n", "é", &too_long]
        {
            assert_eq!(Region::parse(bad), Err(RegionError), "{bad:?}");
        }
    }

    #[test]
    fn without_an_override_the_host_is_the_one_that_the_sdks_use() {
        for region in ["cn-beijing", "cn-hongkong", "ap-southeast-1", "a-new-region-9"] {
            assert_eq!(address_of(None, region), "https://open.volcengineapi.com/");
        }
        assert_eq!(address_of(None, "ap-southeast-2"), "https://ecs.ap-southeast-2.volcengineapi.com/");
        assert_eq!(address_of(None, "cn-beijing-selfdrive"), "https://ecs.cn-beijing-selfdrive.volcengineapi.com/");
    }

    #[test]
    fn an_override_wins_in_every_region() {
        for region in ["cn-beijing", "ap-southeast-2"] {
            assert_eq!(address_of(Some("open.byteplusapi.com"), region), "https://open.byteplusapi.com/");
        }
    }

    #[test]
    fn an_endpoint_is_https_unless_it_is_on_this_machine() {
        for (text, meant) in [
            ("ecs.example.com", "https://ecs.example.com"),
            ("ecs.example.com:8443", "https://ecs.example.com:8443"),
            ("https://ECS.example.com/", "https://ecs.example.com"),
            ("https://ecs.example.com:443", "https://ecs.example.com"),
            ("https://10.0.0.1:80", "https://10.0.0.1:80"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.9.9.9", "http://127.9.9.9"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(shown(text), Ok(meant.to_owned()), "{text}");
        }
    }

    #[test]
    fn whatever_is_more_than_a_host_or_less_than_safe_is_refused() {
        for bad in [
            "",
            "https://",
            "http://ecs.example.com",
            "http://10.0.0.1",
            "http://[::2]",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
            "https://ecs.example.com/path",
            "https://ecs.example.com?x",
            "https://ecs.example.com#x",
            "https://user:secret@ecs.example.com",
            "https://@ecs.example.com",
            "https:\\\\ecs.example.com",
            "ecs.example.com:99999",
            " ecs.example.com",
            "ecs.exam\tple.com",
            "ecs.example.com\n",
        ] {
            assert_eq!(shown(bad), Err(EndpointError), "{bad:?}");
        }
    }

    #[test]
    fn only_a_port_of_its_own_belongs_to_the_host() {
        let host_of = |text: &str| host(&Endpoint::parse(text).unwrap().0);
        assert_eq!(host_of("https://ecs.example.com:443"), "ecs.example.com");
        assert_eq!(host_of("https://ecs.example.com:8443"), "ecs.example.com:8443");
        assert_eq!(host_of("http://[::1]:80"), "[::1]");
        assert_eq!(host_of("http://[::1]:18080"), "[::1]:18080");
    }

    proptest! {
        #[test]
        fn a_region_leads_to_a_host_of_the_cloud_and_nowhere_else(any in any::<String>(), odd in "[a-z0-9.:/@?#%\\\\-]{0,34}", good in "[a-z0-9-]{1,32}") {
            for text in [any, odd, good] {
                let Ok(region) = Region::parse(&text) else { continue };
                let url = address(None, &region);
                let hosts = ["open.volcengineapi.com".to_owned(), format!("ecs.{text}.volcengineapi.com")];
                prop_assert!(hosts.contains(&url.host_str().unwrap_or_default().to_owned()), "{url}");
                prop_assert_eq!(url.as_str(), format!("https://{}/", host(&url)));
            }
        }

        #[test]
        fn what_is_accepted_in_clear_stays_on_this_machine(text in any::<String>(), host in "[a-z0-9.:\\[\\]@/]{0,12}") {
            for text in [text, format!("http://{host}")] {
                if let Ok(endpoint) = Endpoint::parse(&text) {
                    prop_assert!(!endpoint.is_clear() || endpoint.is_loopback());
                }
            }
        }
    }
}
