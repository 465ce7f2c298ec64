package cql2_test

import (
	"fmt"

	"cityhub/spatial/cql2"
)

func Example() {
	expr, err := cql2.ParseText("pm25 > 75 AND class = 'building' AND S_INTERSECTS(geometry, BBOX(120.6, 31.28, 120.64, 31.33))", cql2.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(cql2.JSON(expr)))
	hint := cql2.Hints(expr)
	fmt.Println(hint.Bounds["geometry"].Min, cql2.Text(hint.Equal["class"][0]))

	q, err := cql2.NewQueryables(
		cql2.Queryable{Name: "pm2_5", Type: cql2.TypeNumber},
		cql2.Queryable{Name: "class", Type: cql2.TypeString},
		cql2.Queryable{Name: "geometry", Type: cql2.TypeGeometry},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cql2.Check(expr, q))
	// Output:
	// {"op":"and","args":[{"op":">","args":[{"property":"pm25"},75]},{"op":"=","args":[{"property":"class"},"building"]},{"op":"s_intersects","args":[{"property":"geometry"},{"bbox":[120.6,31.28,120.64,31.33]}]}]}
	// [120.6 31.28] 'building'
	// cql2: line 1, column 1: found the property "pm25", expected a queryable property (did you mean pm2_5?)
}
