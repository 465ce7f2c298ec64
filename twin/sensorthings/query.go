package sensorthings

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Page sizes.
const (
	defaultTop = 100
	maxTop     = 10000
	// maxSkip bounds what a page costs that is asked for by number; the pages
	// behind @iot.nextLink are not bounded.
	maxSkip = 10_000_000
)

// optionsSupported is the hint where a query option is not served.
const optionsSupported = "supported: $top, $skip, $count, $orderby, $select, $filter"

// order is one key of $orderby.
type order struct {
	property string
	desc     bool
}

// query is a parsed set of query options.
type query struct {
	top     int
	skip    int
	count   bool
	orderby []order
	sel     []string // nil: everything
	filter  []comparison
	token   string // $skiptoken: where the page before ended
	raw     url.Values
}

// parseQuery reads the query options of OData 4 that SensorThings uses. An
// option it does not serve is an error: nothing is ignored.
func parseQuery(rawQuery string, limit int) (query, error) {
	q := query{top: min(defaultTop, limit)}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return q, badOption("", "the query is not well formed: "+strings.TrimPrefix(err.Error(), "invalid "), "percent-encode what is not a letter or digit")
	}
	q.raw = values
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // the same error for the same query
	for _, name := range names {
		vs := values[name]
		if len(vs) > 1 {
			return q, badOption(name, "is given more than once", "")
		}
		if err := q.option(name, vs[0], limit); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (q *query) option(name, v string, limit int) (err error) {
	switch name {
	case "$top":
		q.top, err = wholeNumber(name, v, limit)
	case "$skip":
		q.skip, err = wholeNumber(name, v, maxSkip)
	case "$count":
		switch v {
		case "true":
			q.count = true
		case "false":
		default:
			return badOption(name, fmt.Sprintf("%q was given", v), "true or false")
		}
	case "$orderby":
		q.orderby, err = parseOrderBy(v)
	case "$select":
		q.sel, err = parseNames(name, v)
	case "$filter":
		q.filter, err = parseFilter(v)
	case "$skiptoken":
		if v == "" {
			return badOption(name, "is empty", "follow @iot.nextLink as it is")
		}
		q.token = v
	case "$expand", "$search", "$apply", "$compute", "$resultFormat", "$format", "$index", "$levels":
		return notServed(name, "is not served", optionsSupported)
	default:
		hint := optionsSupported
		if !strings.HasPrefix(name, "$") {
			hint = "the names of query options begin with $; " + hint
		}
		return badOption(name, "there is no such query option", hint)
	}
	return err
}

func wholeNumber(name, v string, limit int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || v[0] == '+' {
		return 0, badOption(name, fmt.Sprintf("%q was given", v), "a whole number from 0 to "+strconv.Itoa(limit))
	}
	if n > limit {
		return 0, badOption(name, fmt.Sprintf("%d is too much", n), "at most "+strconv.Itoa(limit)+"; follow @iot.nextLink for more")
	}
	return n, nil
}

func parseOrderBy(v string) ([]order, error) {
	names, err := parseNames("$orderby", v)
	if err != nil {
		return nil, err
	}
	out := make([]order, len(names))
	for i, n := range names {
		f := strings.Fields(n)
		out[i].property = f[0]
		switch {
		case len(f) == 1, len(f) == 2 && f[1] == "asc":
		case len(f) == 2 && f[1] == "desc":
			out[i].desc = true
		default:
			return nil, badOption("$orderby", fmt.Sprintf("%q was given", n), "PROPERTY, PROPERTY asc or PROPERTY desc")
		}
	}
	return out, nil
}

func parseNames(option, v string) ([]string, error) {
	parts := strings.Split(v, ",")
	if len(parts) > maxComparisons {
		return nil, badOption(option, fmt.Sprintf("names more than %d properties", maxComparisons), "")
	}
	for i, p := range parts {
		if parts[i] = strings.TrimSpace(p); parts[i] == "" {
			return nil, badOption(option, "a name is missing", "names are separated by commas")
		}
	}
	return parts, nil
}

// nextQuery is the query of the page that follows: what is left to skip after
// the place that token names, or from the beginning when it names none.
func (q *query) nextQuery(skip int, token string) string {
	var b strings.Builder
	put := func(name, v string) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(v))
	}
	for _, name := range []string{"$filter", "$select", "$orderby", "$count"} {
		if q.raw.Has(name) {
			put(name, q.raw.Get(name))
		}
	}
	put("$top", strconv.Itoa(q.top))
	if skip > 0 {
		put("$skip", strconv.Itoa(skip))
	}
	if token != "" {
		put("$skiptoken", token)
	}
	return b.String()
}
