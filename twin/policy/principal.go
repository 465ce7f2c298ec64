package policy

import (
	"time"

	"cityhub/twin"
)

// Role says what a Principal may do.
type Role string

// The roles. Grants of single Datasets come with the catalogue's workflow;
// until then a caller sees what is open to all, or everything.
const (
	RolePublic Role = "public" // sees Datasets that are open unconditionally
	RoleAdmin  Role = "admin"  // the operator: sees and manages everything
	// RoleTerminal is a terminal that logged in with its own credentials: it
	// sees what the public sees and its own Datastreams.
	RoleTerminal Role = "terminal"
)

// Principal is who is asking. The zero Principal is an anonymous caller with
// the rights of the public.
type Principal struct {
	Name string // of the access token, or the terminal's code; empty: anonymous
	Role Role   // empty: RolePublic
	// Expires is when the token ends; zero: never, or there is none.
	Expires time.Time
}

// Anonymous reports whether nobody is known to be asking.
func (p Principal) Anonymous() bool { return p.Name == "" }

// RequireAdmin returns nil when p may manage the hub: CodeUnauthorized for an
// anonymous caller, who may still say who it is, CodeForbidden for anybody
// else. op names what was tried.
func (p Principal) RequireAdmin(op string) error {
	switch {
	case p.Role == RoleAdmin:
		return nil
	case p.Anonymous():
		return &twin.Error{Code: twin.CodeUnauthorized, Op: op, Message: "this needs the operator's token",
			Hint: "send it as \"Authorization: Bearer TOKEN\", or open the link that cityhub printed at its first start"}
	default:
		return &twin.Error{Code: twin.CodeForbidden, Op: op, Message: "the token " + p.Name + " may not do this", Hint: "ask the operator of the hub"}
	}
}
