//! Every answer that is not a success: a status and `{"detail": …}`.

pub(in crate::http) mod store;
pub(in crate::http) mod validation;

use std::borrow::Cow;

use axum::{
    Json,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use self::validation::{ValidationError, ValidationErrors};
use super::resource::Resource;
use crate::{access::Scopes, kafka::producer::PublishError, reminder::Reminder};

/// Every request meets the same trouble: that Kafka refuses readings, or that they are too large for the topic.
static REFUSED: Reminder = Reminder::new();
static TOO_LARGE: Reminder = Reminder::new();
static CLOCK_REFUSED: Reminder = Reminder::new();

/// Why a request has no better answer.
#[derive(Debug)]
pub(in crate::http) enum ApiError {
    /// 400: not JSON at all.
    BadJson(String),
    /// 400: the body broke off.
    BadBody,
    /// 400: the body cannot be unpacked.
    BadEncoding(String),
    /// 400: not one `Host`, which HTTP/1.1 asks for, or none that can be read.
    NoHost,
    /// 401: no key, or none that is valid.
    Unauthorized { has_key: bool },
    /// 403: the key does not allow this.
    Forbidden { needed: Scopes },
    /// 403: anybody may do everything, and this host is not known to be ours.
    ForeignHost { host: String },
    /// 403: a page of another origin sent the request.
    ForeignOrigin,
    /// 404.
    NotFound(&'static str),
    /// 405.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTimedOut,
    /// 409: what is there stands against it.
    Conflict(&'static str),
    /// 413.
    BodyTooLarge { max_bytes: usize },
    /// It has more items than any that holds readings.
    TooManyItems { max: u64 },
    /// 415: what the body should be.
    UnsupportedMediaType(&'static str),
    /// 415: packed in a way that is not known.
    UnsupportedEncoding,
    /// 422.
    Invalid(ValidationErrors),
    /// 426: an answer of unknown length, which no client could tell from one that was cut off.
    NeedsHttp11(&'static str),
    /// 429: the key's rate is used up, or that of all who show none that is valid.
    TooManyRequests { of_key: bool, retry_after_s: u64 },
    /// 429: the key has as much of this under way as it may.
    ShareHeld { resource: Resource, share: usize },
    /// 500: only an operator can help, and the log says how.
    Internal,
    /// 501: the body has a transfer coding besides chunked.
    UnsupportedTransferCoding,
    /// 503: there is no room for the request now.
    Overloaded(&'static str),
    /// 503: the same request may succeed later.
    Unavailable(Cow<'static, str>),
}

/// The body of an answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ErrorBody {
    /// What is wrong, for people.
    #[schema(example = "Sensor not found.")]
    pub(in crate::http) detail: Cow<'static, str>,
}

/// The body of an answer to a request that does not validate.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct InvalidBody {
    /// Everything that is wrong, at most the first 100 errors.
    pub(in crate::http) detail: Vec<ValidationError>,
}

const MAYBE_STORED: &str = "The readings may or may not have been stored. Sending them again is safe: \
                            one that has a timestamp is not stored twice.";

impl ApiError {
    pub(in crate::http) const NO_SUCH_SENSOR: Self = Self::NotFound("Sensor not found.");
    pub(in crate::http) const NO_DATA: Self = Self::NotFound("No data found for this sensor.");

    pub(in crate::http) fn status(&self) -> StatusCode {
        match self {
            Self::BadJson(_) | Self::BadBody | Self::BadEncoding(_) | Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::ForeignHost { .. } | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::BodyTooLarge { .. } | Self::TooManyItems { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NeedsHttp11(_) => StatusCode::UPGRADE_REQUIRED,
            Self::TooManyRequests { .. } | Self::ShareHeld { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnsupportedTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Overloaded(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(in crate::http) fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::BadJson(error) => format!("The body is not valid JSON: {error}.").into(),
            Self::BadBody => "The body broke off.".into(),
            Self::BadEncoding(error) => format!("The body cannot be unpacked: {error}.").into(),
            Self::NoHost => "An HTTP/1.1 request needs one valid Host header.".into(),
            Self::Unauthorized { has_key: false } => "An API key is needed.".into(),
            Self::Unauthorized { has_key: true } => "This API key is not valid.".into(),
            Self::Forbidden { needed } => format!("This API key lacks the scope {needed}.").into(),
            Self::ForeignHost { host } => format!(
                "The host {host} is not allowed while there are no API keys: call the api by localhost, or add the \
                 name to HTTP_ALLOWED_HOSTS."
            )
            .into(),
            Self::ForeignOrigin => {
                "Pages of this origin are not allowed: add the origin to CORS_ALLOW_ORIGINS.".into()
            }
            Self::NotFound(what) | Self::Conflict(what) | Self::NeedsHttp11(what) => (*what).into(),
            Self::MethodNotAllowed => "Method not allowed.".into(),
            Self::BodyTimedOut => "The body did not arrive in time.".into(),
            Self::BodyTooLarge { max_bytes } => format!("The body is larger than {max_bytes} bytes.").into(),
            Self::TooManyItems { max } => format!("The body has more than {max} items.").into(),
            Self::UnsupportedMediaType(wanted) => format!("The body should be {wanted}.").into(),
            Self::UnsupportedEncoding => "The body should be packed with gzip or zstd, or not at all.".into(),
            Self::Invalid(_) => "The request does not validate.".into(),
            Self::TooManyRequests { of_key: true, .. } => "This API key's rate is used up.".into(),
            Self::TooManyRequests { of_key: false, .. } => {
                "Too many requests without a valid API key.".into()
            }
            Self::ShareHeld { resource, share } => {
                let resources = resource.plural();
                format!("This API key may have {share} {resources} under way at a time, and has; try again once one of them has ended.")
                    .into()
            }
            Self::Internal => "Internal error.".into(),
            Self::UnsupportedTransferCoding => {
                "The only Transfer-Encoding that is accepted is chunked.".into()
            }
            Self::Overloaded(detail) => (*detail).into(),
            Self::Unavailable(detail) => detail.clone(),
        }
    }

    /// The one header that some statuses call for. The challenges are RFC 6750's.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::ShareHeld { .. } | Self::Overloaded(_) | Self::Unavailable(_) => {
                Some((RETRY_AFTER, HeaderValue::from_static("1")))
            }
            Self::TooManyRequests { retry_after_s, .. } => Some((RETRY_AFTER, (*retry_after_s).into())),
            Self::Unauthorized { has_key: false } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="sensorpipe""#)))
            }
            Self::Unauthorized { has_key: true } => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="sensorpipe", error="invalid_token""#),
            )),
            Self::Forbidden { .. } => Some((
                WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="sensorpipe", error="insufficient_scope""#),
            )),
            Self::UnsupportedEncoding => {
                Some((ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, identity")))
            }
            Self::NeedsHttp11(_) => Some((UPGRADE, HeaderValue::from_static("HTTP/1.1"))),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, header) = (self.status(), self.header());
        let mut response = match self {
            Self::Invalid(errors) => {
                (status, Json(InvalidBody { detail: errors.into_vec() })).into_response()
            }
            other => (status, Json(ErrorBody { detail: other.detail() })).into_response(),
        };
        if let Some((name, value)) = header {
            if name == UPGRADE {
                // RFC 9110, 7.8: it is for the next hop, and says so.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::QueueFull | PublishError::TimedOut => {
                Self::Unavailable(format!("Not acknowledged: {error}. {MAYBE_STORED}").into())
            }
            PublishError::Refused(_) => {
                if REFUSED.is_due() {
                    tracing::warn!("{error}; clients get 503 and send again");
                }
                Self::Unavailable(format!("Kafka refused the readings. {MAYBE_STORED}").into())
            }
            PublishError::ClockRefused => {
                if CLOCK_REFUSED.is_due() {
                    tracing::error!("{error}; set this host's clock; clients get 503 and send again");
                }
                Self::Unavailable(
                    format!("{error}. The operator has to set the clock. {MAYBE_STORED}").into(),
                )
            }
            PublishError::Down => Self::Unavailable("Kafka does not answer now. Nothing was stored.".into()),
            // A reading alone: it shared the client's batch with others, and the topic takes less than that.
            PublishError::TooLarge => {
                if TOO_LARGE.is_due() {
                    tracing::error!(
                        "{error}: raise it to 1000000, or set KAFKA_CONFIG_batch_size to half of what it is"
                    );
                }
                Self::Unavailable(format!("Kafka refused the readings. {MAYBE_STORED}").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_later_says_when() {
        for error in [
            PublishError::QueueFull,
            PublishError::TimedOut,
            PublishError::Refused("x".to_owned()),
            PublishError::ClockRefused,
            PublishError::Down,
            PublishError::TooLarge,
        ] {
            let response = ApiError::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
        }
        let response = ApiError::Internal.into_response();
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }
}
