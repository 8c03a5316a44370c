//! The hosts of a database URL, each with its port. Pure.

/// Most hosts of a URL: all of them have to be tried while somebody waits.
const HOSTS_MAX: usize = 8;

/// Where one server is: what stands for it in a URL of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Place {
    /// Host and port; empty where the parameters name them.
    pub(in crate::store) authority: String,
    /// The URL's parameters, of which none names another host or port.
    pub(in crate::store) parameters: String,
}

/// Takes lists of hosts and ports apart, as libpq does: `a:1,b:2` or `host=a,b&port=1,2`.
pub(in crate::store) fn split(authority: &str, parameters: &str) -> Result<Vec<Place>, String> {
    let (mut host, mut address, mut port) = (None, None, None);
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        match &*name {
            "host" => host = Some(value),
            "hostaddr" => address = Some(value),
            "port" => port = Some(value),
            _ => {}
        }
    }
    let in_parameter = host.as_deref().filter(|host| is_list(host));
    let hosts: Vec<&str> = match (authority.contains(','), in_parameter) {
        (true, _) if host.is_some() => return Err(TWICE.to_owned()),
        (true, _) => authority.split(',').collect(),
        (false, Some(hosts)) => hosts.split(',').collect(),
        (false, None) => vec![authority],
    };
    if address.is_some_and(|address| address.contains(',') || hosts.len() > 1) {
        return Err(ADDRESSES.to_owned());
    }
    let ports: Vec<&str> = port.as_deref().map_or_else(Vec::new, |ports| ports.split(',').collect());
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(format!(
            "{} ports for {} hosts: give one for all, or one for each",
            ports.len(),
            hosts.len()
        ));
    }
    if let [one] = hosts[..] {
        return Ok(vec![Place { authority: one.to_owned(), parameters: parameters.to_owned() }]);
    }
    if hosts.len() > HOSTS_MAX || hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
        return Err(format!("a list of hosts has a name in each place, and {HOSTS_MAX} at most"));
    }
    let others = without_hosts(parameters);
    let port_of_all = authority.rsplit_once(':').map(|(_, port)| port).filter(|_| in_parameter.is_some());
    Ok(hosts
        .iter()
        .enumerate()
        .map(|(place, &host)| {
            let mut parameters = form_urlencoded::Serializer::new(String::new());
            if in_parameter.is_some() {
                parameters.append_pair("host", host);
            }
            if let Some(port) = ports.get(place).or(ports.first()).copied().or(port_of_all) {
                parameters.append_pair("port", port);
            }
            let authority = if in_parameter.is_some() { "" } else { host };
            Place { authority: authority.to_owned(), parameters: format!("{others}&{}", parameters.finish()) }
        })
        .collect())
}

const TWICE: &str = "hosts stand both before the database and in a parameter: give them once";
const ADDRESSES: &str = "a list of hosts is given as host=, not as hostaddr=";

/// Whether it is more than one host: a single socket's folder may have a comma in its name.
fn is_list(host: &str) -> bool {
    host.contains(',') && (!host.starts_with('/') || host.split(',').all(|folder| folder.starts_with('/')))
}

fn without_hosts(parameters: &str) -> String {
    let is_of_a_host = |parameter: &&str| {
        let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
        ["host", "port"].contains(&name)
    };
    parameters.split('&').filter(|parameter| !is_of_a_host(parameter)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(authority: &str, parameters: &str) -> Vec<(String, String)> {
        let places = split(authority, parameters).unwrap();
        places.into_iter().map(|Place { authority, parameters }| (authority, parameters)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|&(authority, parameters)| (authority.to_owned(), parameters.to_owned()))
            .collect()
    }

    #[test]
    fn lists_are_taken_apart_as_libpq_does() {
        assert_eq!(places("one:1,two", "a=b"), pairs(&[("one:1", "a=b&"), ("two", "a=b&")]));
        assert_eq!(
            places("", "host=one,two&port=1,2"),
            pairs(&[("", "&host=one&port=1"), ("", "&host=two&port=2")])
        );
        assert_eq!(
            places("one,two", "port=7"),
            pairs(&[("one", "&port=7"), ("two", "&port=7")]),
            "one port is for all"
        );
        assert_eq!(
            places(":7", "host=one,two"),
            pairs(&[("", "&host=one&port=7"), ("", "&host=two&port=7")])
        );
        assert_eq!(places("[::1]:1,[::2]:2", ""), pairs(&[("[::1]:1", "&"), ("[::2]:2", "&")]));
        assert_eq!(
            places("", "host=%2Frun%2Fa,%2Frun%2Fb"),
            pairs(&[("", "&host=%2Frun%2Fa"), ("", "&host=%2Frun%2Fb")])
        );
    }

    #[test]
    fn one_host_stays_as_it_is() {
        assert_eq!(places("one:1", "a=b&port=2"), pairs(&[("one:1", "a=b&port=2")]));
        assert_eq!(places("", "host=/run/a,b"), pairs(&[("", "host=/run/a,b")]));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for (authority, parameters, words) in [
            ("one,two", "host=three", "give them once"),
            ("one", "port=1,2", "2 ports for 1 hosts"),
            ("", "host=one,two&port=1,2,3", "3 ports for 2 hosts"),
            ("one,,two", "", "a name in each place"),
            ("one,:5432", "", "a name in each place"),
            ("a,b,c,d,e,f,g,h,i", "", "8 at most"),
            ("", "hostaddr=10.0.0.1,10.0.0.2", "not as hostaddr"),
            ("one,two", "hostaddr=10.0.0.1", "not as hostaddr"),
        ] {
            let refused = split(authority, parameters).unwrap_err();
            assert!(refused.contains(words), "{authority} {parameters}: {refused}");
        }
    }
}
