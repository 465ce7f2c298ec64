package cql2

import "strings"

// Op is an operator or a function of the standard.
type Op uint8

// The operators, by requirements class (21-065r2, clauses 6 and 7).
const (
	opNone Op = iota
	// Basic CQL2.
	OpAnd
	OpOr
	OpNot
	OpEq
	OpNe
	OpLt
	OpGt
	OpLe
	OpGe
	OpIsNull
	// Advanced comparison operators.
	OpLike
	OpBetween
	OpIn
	// Case- and accent-insensitive comparison.
	OpCaseI
	OpAccentI
	// Arithmetic expressions.
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpMod
	OpIntDiv
	OpPow
	// Spatial functions.
	OpSIntersects
	OpSEquals
	OpSDisjoint
	OpSTouches
	OpSWithin
	OpSOverlaps
	OpSCrosses
	OpSContains
	// Temporal functions.
	OpTAfter
	OpTBefore
	OpTContains
	OpTDisjoint
	OpTDuring
	OpTEquals
	OpTFinishedBy
	OpTFinishes
	OpTIntersects
	OpTMeets
	OpTMetBy
	OpTOverlappedBy
	OpTOverlaps
	OpTStartedBy
	OpTStarts
	// Array functions.
	OpAEquals
	OpAContains
	OpAContainedBy
	OpAOverlaps
	opEnd
)

// opNames are the names in the JSON encoding. The text encoding writes the
// same name in capitals; only isNull differs.
var opNames = [opEnd]string{
	OpAnd: "and", OpOr: "or", OpNot: "not",
	OpEq: "=", OpNe: "<>", OpLt: "<", OpGt: ">", OpLe: "<=", OpGe: ">=",
	OpIsNull: "isNull", OpLike: "like", OpBetween: "between", OpIn: "in",
	OpCaseI: "casei", OpAccentI: "accenti",
	OpAdd: "+", OpSub: "-", OpMul: "*", OpDiv: "/", OpMod: "%", OpIntDiv: "div", OpPow: "^",
	OpSIntersects: "s_intersects", OpSEquals: "s_equals", OpSDisjoint: "s_disjoint", OpSTouches: "s_touches",
	OpSWithin: "s_within", OpSOverlaps: "s_overlaps", OpSCrosses: "s_crosses", OpSContains: "s_contains",
	OpTAfter: "t_after", OpTBefore: "t_before", OpTContains: "t_contains", OpTDisjoint: "t_disjoint",
	OpTDuring: "t_during", OpTEquals: "t_equals", OpTFinishedBy: "t_finishedBy", OpTFinishes: "t_finishes",
	OpTIntersects: "t_intersects", OpTMeets: "t_meets", OpTMetBy: "t_metBy", OpTOverlappedBy: "t_overlappedBy",
	OpTOverlaps: "t_overlaps", OpTStartedBy: "t_startedBy", OpTStarts: "t_starts",
	OpAEquals: "a_equals", OpAContains: "a_contains", OpAContainedBy: "a_containedBy", OpAOverlaps: "a_overlaps",
}

// String is the name of op in the JSON encoding, e.g. "s_intersects".
func (op Op) String() string {
	if op < opEnd {
		return opNames[op]
	}
	return ""
}

// TextName is the name of op in the text encoding, e.g. "S_INTERSECTS".
func (op Op) TextName() string {
	if op == OpIsNull {
		return "IS NULL"
	}
	return strings.ToUpper(op.String())
}

// IsSpatial reports whether op is one of the eight spatial functions.
func (op Op) IsSpatial() bool { return op >= OpSIntersects && op <= OpSContains }

// IsTemporal reports whether op is one of the fifteen temporal functions.
func (op Op) IsTemporal() bool { return op >= OpTAfter && op <= OpTStarts }

// IsArray reports whether op is one of the four array functions.
func (op Op) IsArray() bool { return op >= OpAEquals && op <= OpAOverlaps }

// IsComparison reports whether op is =, <>, <, >, <= or >=.
func (op Op) IsComparison() bool { return op >= OpEq && op <= OpGe }

// IsArithmetic reports whether op is +, -, *, /, %, div or ^.
func (op Op) IsArithmetic() bool { return op >= OpAdd && op <= OpPow }

// isFunction reports whether op is written NAME(…) in the text encoding.
func (op Op) isFunction() bool {
	return op.IsSpatial() || op.IsTemporal() || op.IsArray() || op == OpCaseI || op == OpAccentI
}

// opByJSON finds an operator by its JSON name, which is case-sensitive.
func opByJSON(name string) Op {
	for op := OpAnd; op < opEnd; op++ {
		if opNames[op] == name {
			return op
		}
	}
	return opNone
}

// opByFunction finds a function of the standard by its name in the text
// encoding, in any case.
func opByFunction(name string) Op {
	for op := OpAnd; op < opEnd; op++ {
		if op.isFunction() && strings.EqualFold(opNames[op], name) {
			return op
		}
	}
	return opNone
}

// reserved are the words of the text encoding that are not names of
// properties unless quoted.
func reserved(word string) bool {
	switch strings.ToUpper(word) {
	case "AND", "OR", "NOT", "LIKE", "BETWEEN", "IN", "IS", "NULL", "TRUE", "FALSE", "DIV":
		return true
	}
	return false
}
