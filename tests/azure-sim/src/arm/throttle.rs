//! Token buckets per subscription, principal and kind of request
//! (Azure docs, `request-limits-and-throttling`).

use std::collections::HashMap;

use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::error::ArmError;
use crate::model::Settings;

/// The buckets that have been used, with what is left in them.
#[derive(Debug, Default)]
pub(crate) struct Throttle(HashMap<(String, String, &'static str), (f64, Instant)>);

impl Throttle {
    /// Takes one request out of its bucket, if the settings have buckets.
    ///
    /// # Errors
    /// 429 with the seconds until the bucket holds a request again.
    pub(crate) fn take(
        &mut self,
        settings: &Settings,
        subscription: &str,
        principal: &str,
        method: &Method,
    ) -> Result<(), ArmError> {
        let Some(limits) = settings.throttling else { return Ok(()) };
        let (kind, bucket) = match *method {
            Method::GET => ("read", limits.reads),
            Method::DELETE => ("delete", limits.deletes),
            _ => ("write", limits.writes),
        };
        let now = Instant::now();
        let key = (subscription.to_ascii_lowercase(), principal.to_owned(), kind);
        let (left, filled) = self.0.entry(key).or_insert((bucket.capacity.into(), now));
        let gained = now.duration_since(*filled).as_secs_f64() * bucket.refill_per_second;
        (*left, *filled) = ((*left + gained).min(bucket.capacity.into()), now);
        if *left >= 1.0 {
            *left -= 1.0;
            return Ok(());
        }
        let seconds = ((1.0 - *left) / bucket.refill_per_second).ceil().clamp(1.0, 3_600.0);
        Err(throttled(kind, subscription, principal, seconds))
    }
}

fn throttled(kind: &str, subscription: &str, principal: &str, seconds: f64) -> ArmError {
    let message = format!(
        "Number of '{kind}' requests for subscription '{subscription}' actor '{principal}' \
         exceeded. Please try again after '{seconds}' seconds after additional tokens are \
         available. Refer to https://aka.ms/arm-throttling for additional information."
    );
    ArmError::new(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", message)
        .with_header("retry-after", format!("{seconds}"))
}
