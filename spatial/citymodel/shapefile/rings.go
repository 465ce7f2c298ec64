package shapefile

import (
	"slices"

	"cityhub/spatial"
	"cityhub/spatial/citymodel/internal/flat"
)

// polygon sorts the rings: those that run clockwise are exteriors, the others
// are holes of the smallest exterior around them. A ring that runs as a hole
// and lies in no exterior is one itself.
func (l *list) polygon(hasZ bool) error {
	rings := make([]flat.Outline, 0, len(l.parts))
	var outer, inner []int
	for _, part := range l.parts {
		if part[0] == part[1] {
			continue
		}
		o := flat.OutlineOf(l.p, part[0], part[1])
		if o.Area > 0 {
			inner = append(inner, len(rings))
		} else {
			outer = append(outer, len(rings))
		}
		rings = append(rings, o)
	}
	lost, err := flat.Nest(l.p, rings, outer, inner)
	if err != nil {
		return err
	}
	outer = append(outer, lost...)
	slices.Sort(outer)
	l.s.Begin(spatial.MultiSurface, hasZ)
	for _, e := range outer {
		if err := l.ring(&rings[e], rings[e].Area < 0); err != nil {
			return err
		}
		for _, h := range rings[e].Holes {
			if err := l.ring(&rings[h], rings[h].Area > 0); err != nil {
				return err
			}
		}
		l.s.EndSurface()
	}
	return nil
}

func (l *list) ring(o *flat.Outline, backwards bool) error {
	if err := l.p.add(l.s, o.From, o.To, backwards); err != nil {
		return err
	}
	l.s.EndRing()
	return nil
}
