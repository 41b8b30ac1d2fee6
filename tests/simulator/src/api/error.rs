//! The cloud's error codes, with the HTTP status and number of each.

/// An error as the cloud answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: String,
    pub(crate) number: Option<u32>,
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl ApiError {
    /// The error `code`, with what is documented about it; a code that is not is a 400.
    pub(crate) fn of(code: &str) -> Self {
        let public = PUBLIC
            .iter()
            .find(|known| known.0 == code)
            .map(|&(_, number, status, message)| (Some(number), status, message));
        let own =
            || DESCRIBE_TASKS.iter().find(|known| known.0 == code).map(|&(_, status, message)| (None, status, message));
        let (number, status, message) = public.or_else(own).unwrap_or((None, 400, "The request is not valid."));
        Self { code: code.to_owned(), number, status, message: message.to_owned() }
    }

    /// The same error under another HTTP status, if one is given.
    pub(crate) fn with_status(self, status: Option<u16>) -> Self {
        Self { status: status.unwrap_or(self.status), ..self }
    }
}

/// Public codes (docs 6369/68677 and siblings). Where the pages disagree about a status the newer
/// one is taken; the status of `AccountFlowLimitExceeded` is undocumented.
const PUBLIC: [(&str, u32, u16, &str); 26] = [
    ("UndefinedError", 100_001, 500, "An undefined error has occurred."),
    ("MissingParameter", 100_002, 400, "A required parameter is missing."),
    ("MissingAuthenticationToken", 100_003, 401, "The request has no Authorization header."),
    ("MissingRequestInfo", 100_004, 400, "The request has no X-Date header."),
    ("MissingSignature", 100_005, 401, "The Authorization header has no Signature."),
    ("InvalidTimestamp", 100_006, 400, "The X-Date of the request is malformed, expired or in the future."),
    ("ServiceNotFound", 100_007, 404, "The service does not exist."),
    ("InvalidActionOrVersion", 100_008, 404, "The action or its version does not exist."),
    ("InvalidAccessKey", 100_009, 401, "The access key does not exist or is disabled."),
    ("SignatureDoesNotMatch", 100_010, 401, "The signature does not match the one calculated for the request."),
    ("ServiceShouldCallSelfApi", 100_011, 403, "The service may call its own API only."),
    ("LackPolicy", 100_012, 403, "The caller has no policy for this action."),
    ("AccessDenied", 100_013, 403, "The caller is not authorized to perform this action."),
    ("InternalError", 100_014, 500, "An internal error has occurred."),
    ("FailToConnect", 100_015, 502, "The service cannot be reached."),
    ("InternalServiceTimeout", 100_016, 504, "The service has timed out."),
    ("InnerApiNeedAccountInfo", 100_017, 400, "The API needs account information."),
    ("FlowLimitExceeded", 100_018, 429, "The request exceeds the flow limit of the API."),
    ("ServiceUnavailableTemp", 100_019, 503, "The service is temporarily unavailable."),
    ("MethodNotAllowed", 100_020, 405, "The method is not allowed for this action."),
    ("LackProjectPolicy", 100_021, 403, "The caller has no policy for this project."),
    ("InternalServiceError", 100_023, 502, "The service has failed."),
    ("InvalidAuthorization", 100_024, 400, "The Authorization header is malformed."),
    ("InvalidCredential", 100_025, 400, "The Credential of the Authorization header is malformed."),
    ("InvalidSecretToken", 100_026, 401, "The security token is invalid or expired."),
    ("AccountFlowLimitExceeded", 100_027, 429, "The request exceeds the flow limit of the account."),
];

/// Codes of DescribeTasks itself (docs 6396/120437). The two `.Malformed` ones are not listed
/// there; they follow the spelling of ECS's other codes.
const DESCRIBE_TASKS: [(&str, u16, &str); 6] = [
    ("LimitExceeded.MaximumMaxResults", 400, "The number of specified MaxResults exceeds the maximum limit."),
    ("LimitExceeded.MinimumMaxResults", 400, "The number of specified MaxResults exceeds the minimum limit."),
    (
        "LimitExceeded.MaximumResourceIds",
        400,
        "You've reached the limit on the number of ResourceIds that you can set.",
    ),
    ("LimitExceeded.MaximumTaskIds", 400, "You've reached the limit on the number of TaskIds that you can set."),
    ("InvalidMaxResults.Malformed", 400, "The specified MaxResults is not a number."),
    ("InvalidNextToken.Malformed", 400, "The specified NextToken was not returned for this query."),
];
