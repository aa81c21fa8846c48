//! Which service a module belongs to: as configured, else by the packages that it is in.

use std::collections::BTreeMap;

/// Packages whose members are services of their own.
const OF_SERVICES: [&str; 6] = [
    "services",
    "apps",
    "modules",
    "components",
    "plugins",
    "packages",
];

/// Services by their names, each with patterns of dotted module names, where `*` stands for anything.
#[derive(Debug, Default, Clone)]
pub struct Services(pub BTreeMap<String, Vec<String>>);

impl Services {
    /// The service of a module.
    pub fn of(&self, module: &str) -> String {
        let configured = self
            .0
            .iter()
            .find(|(_, patterns)| patterns.iter().any(|pattern| matches(pattern, module)));
        match configured {
            Some((service, _)) => service.clone(),
            None => by_package(module),
        }
    }
}

/// Whether a pattern names a module or a package that it is in.
fn matches(pattern: &str, module: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = module.strip_prefix(first) else {
        return false;
    };
    let is_whole = |rest: &str| rest.is_empty() || rest.starts_with('.');
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return is_whole(rest);
    };
    // The first place of each part leaves the most for the others.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last.is_empty()
        || rest
            .match_indices(last)
            .any(|(at, _)| is_whole(&rest[at + last.len()..]))
}

/// Up to the member of a package of services; else the package that the module is in, or the module itself.
fn by_package(module: &str) -> String {
    let parts: Vec<&str> = module.split('.').collect();
    let services = parts.iter().position(|part| OF_SERVICES.contains(part));
    let length = match services {
        Some(at) if at + 1 < parts.len() => at + 2,
        _ if parts.len() > 1 => parts.len() - 1,
        _ => 1,
    };
    parts[..length.min(parts.len())].join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_member_of_a_package_of_services_or_a_package() {
        for (module, service) in [
            ("app.services.billing", "app.services.billing"),
            ("app.services.billing.store", "app.services.billing"),
            ("app.services", "app"),
            ("app.db.pool", "app.db"),
            ("app.main", "app"),
            ("tool", "tool"),
        ] {
            assert_eq!(Services::default().of(module), service, "{module}");
        }
    }

    #[test]
    fn what_is_configured_counts_first() {
        let services = BTreeMap::from([
            (
                "billing".to_owned(),
                vec!["app.invoices".to_owned(), "app.billing*".to_owned()],
            ),
            ("web".to_owned(), vec!["*.views".to_owned()]),
            ("many".to_owned(), vec![format!("{}z", "x*".repeat(20))]),
        ]);
        let services = Services(services);
        for (module, service) in [
            ("app.invoices", "billing"),
            ("app.invoices.pdf", "billing"),
            ("app.invoicesx", "app"),
            ("app.billing2", "billing"),
            ("app.shop.views", "web"),
            ("app.views.a.views.b", "web"),
            (
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ),
        ] {
            assert_eq!(services.of(module), service, "{module}");
        }
    }
}
