package twin

import (
	"errors"
	"strings"
)

// Code classifies an Error. One place maps codes to RFC 9457 problem types
// (internal/web), one to WebSocket close codes (streams/ws).
type Code string

// The error codes.
const (
	CodeInvalid      Code = "invalid"      // the caller's input is wrong; Message names the field
	CodeNotFound     Code = "not-found"    // no such entity, or none the caller may know of
	CodeConflict     Code = "conflict"     // exists already, or changed meanwhile
	CodeUnauthorized Code = "unauthorized" // who are you?
	CodeForbidden    Code = "forbidden"    // known, but not allowed
	CodeTooLarge     Code = "too-large"
	CodeTooMany      Code = "too-many" // a documented limit was reached
	CodeUnavailable  Code = "unavailable"
	CodeCorrupt      Code = "corrupt" // stored bytes fail their check
	CodeInternal     Code = "internal"
)

// Error is an error of the hub. Message says what was wrong in a sentence for
// the person who caused it; Hint, when there is one, says how to mend it.
type Error struct {
	Code    Code
	Op      string // the operation, e.g. "register terminal"
	Field   string // the input field at fault, if one is
	Message string
	Hint    string
	Err     error // the cause, for logs; not shown to callers
}

// Error gives operation, message, hint and cause in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorCode is the Code of the first Error in err's chain: CodeInternal when
// there is none, empty for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
