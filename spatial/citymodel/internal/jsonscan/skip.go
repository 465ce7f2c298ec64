package jsonscan

// Mark is a place to which Recover returns.
type Mark struct {
	depth  int
	offset int64
}

// Mark remembers the value that follows.
func (s *Scanner) Mark() Mark {
	s.space()
	return Mark{depth: len(s.stack), offset: s.Offset()}
}

// Recover goes behind the value that followed when m was made, wherever in it
// the Scanner stands. It is for going on after an error that is not Fatal.
func (s *Scanner) Recover(m Mark) error {
	s.keep = false
	if s.Offset() == m.offset {
		return s.Skip()
	}
	return s.skim(m.depth)
}

// Skip passes the value that follows.
func (s *Scanner) Skip() error {
	switch c := s.Peek(); {
	case c == '{' || c == '[':
		depth := len(s.stack)
		if err := s.open(c); err != nil {
			return err
		}
		return s.skim(depth)
	case c == '"':
		s.pass()
		return s.skimString()
	case c == 't' || c == 'f':
		_, err := s.Bool()
		return err
	case c == 'n':
		_, err := s.Null()
		return err
	default:
		_, _, err := s.Number()
		return err
	}
}

// Raw passes the value that follows and gives its text, valid until the next
// call. White space in it is kept as it stands.
func (s *Scanner) Raw() ([]byte, error) {
	s.space()
	s.raw, s.keep, s.rawLimit = s.raw[:0], true, false
	err := s.check()
	s.keep = false
	if err == nil && s.rawLimit {
		err = s.fault(Limit, "a value of more than %d bytes", s.o.MaxToken)
	}
	return s.raw, err
}

// check passes a value with all of its grammar.
func (s *Scanner) check() error {
	switch s.Peek() {
	case '{':
		return s.Object(func([]byte) error { return s.check() })
	case '[':
		return s.Array(func(int) error { return s.check() })
	case '"':
		_, err := s.Bytes()
		return err
	}
	return s.Skip()
}

// skim passes everything until no more than depth arrays and objects are open.
func (s *Scanner) skim(depth int) error {
	for len(s.stack) > depth {
		i := s.pos
	run:
		for ; i < s.end; i++ {
			switch s.buf[i] {
			case '"', '{', '[', '}', ']':
				break run
			case '\n':
				s.line++
			}
		}
		s.pos = i
		c, ok := s.look()
		if !ok {
			return s.syntax("the end of an array or object")
		}
		switch c {
		case '"':
			s.pos++
			if err := s.skimString(); err != nil {
				return err
			}
		case '{', '[':
			if err := s.open(c); err != nil {
				return err
			}
		case '}', ']':
			if want := s.stack[len(s.stack)-1] + 2; c != want { // '{'+2 = '}', '['+2 = ']'
				return s.fault(Syntax, "expected %q, found %q", rune(want), rune(c))
			}
			s.close()
		}
	}
	return nil
}

// skimString passes the rest of a string.
func (s *Scanner) skimString() error {
	escaped := false
	for {
		for i := s.pos; i < s.end; i++ {
			switch c := s.buf[i]; {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				s.pos = i + 1
				return nil
			case c < 0x20:
				s.pos = i
				return s.fault(Syntax, "control character %#02x in a string; it must be written as an escape", c)
			}
		}
		s.pos = s.end
		if _, ok := s.look(); !ok {
			return s.syntax("the end of a string")
		}
	}
}
