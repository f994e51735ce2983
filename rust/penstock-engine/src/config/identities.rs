//! Reads as whom and where a mapping's source and its destination are called.
//!
//! Rules: only a source or destination in AWS is called as anybody; a role is named by its ARN and
//! an endpoint by its URL. Assuming the role is for those to do who make the calls.

use std::collections::BTreeMap;

use super::defaults::{self as fields, Field};
use super::destinations;
use super::error::ConfigError;
use super::names::split;
use super::reader::Reader;

const SOURCE: [&Field; 4] = [
    &fields::FROM_ROLE_ARN,
    &fields::FROM_PROFILE,
    &fields::FROM_REGION,
    &fields::FROM_ENDPOINT,
];
const DESTINATION: [&Field; 4] = [
    &fields::TO_ROLE_ARN,
    &fields::TO_PROFILE,
    &fields::TO_REGION,
    &fields::TO_ENDPOINT,
];

/// What is given, by the members' names.
pub(super) fn read(reader: &Reader<'_>) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let mut found = BTreeMap::new();
    for field in SOURCE.into_iter().chain(DESTINATION) {
        if let Some(text) = reader.text_given(field)? {
            found.insert(field.name, text.to_owned());
        }
    }
    Ok(found)
}

/// Checks what is given against the source and the destination that it is for.
pub(super) fn check(
    given: &BTreeMap<&'static str, String>,
    source_arn: &str,
    destination: Option<&str>,
) -> Result<(), ConfigError> {
    let embedded = source_arn.split(':').nth(2) == Some("penstock");
    let called = destination.is_some_and(destinations::is_aws);
    let sides = [
        (SOURCE, embedded, "the source is not in AWS"),
        (DESTINATION, !called, "the destination is not in AWS"),
    ];
    for (side, useless, why) in sides {
        for field in side {
            match given.get(field.name) {
                Some(_) if useless => {
                    let message = format!("means nothing here: {why}; leave it out");
                    return Err(ConfigError::new(field.path, message));
                }
                Some(text) => check_form(field, text)?,
                None => {}
            }
        }
    }
    let regions = [
        (&fields::FROM_REGION, Some(source_arn)),
        (&fields::TO_REGION, destination),
    ];
    for (field, name) in regions {
        let named = name.filter(|name| name.starts_with("arn:"));
        let own = named.and_then(|name| name.split(':').nth(3));
        if let (Some(text), Some(own)) = (given.get(field.name), own)
            && !own.is_empty()
            && own != text
        {
            let message = format!("{text} is not the region of the ARN, which is {own}");
            return Err(ConfigError::new(field.path, message));
        }
    }
    Ok(())
}

fn check_form(field: &Field, text: &str) -> Result<(), ConfigError> {
    let refuse = |message: String| Err(ConfigError::new(field.path, message));
    if field.name.ends_with("RoleArn") {
        let arn = split(field, text)?;
        let role = arn.service == "iam" && arn.resource.starts_with("role/");
        if !role || arn.account.is_empty() {
            return refuse(format!(
                "{text} is not the ARN of a role; one looks like \
                 arn:aws:iam::123456789012:role/NAME"
            ));
        }
    }
    if field.name.ends_with("EndpointUrl") {
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            return refuse(format!("{text} is not an http:// or https:// URL"));
        }
    }
    Ok(())
}
