package history

import (
	"strings"

	"yitong/chaincode/record"
)

// clause is what rows are wanted, as the conditions of an SQL query.
type clause struct {
	conditions []string
	args       []any
}

// add adds a condition with the values of its placeholders.
func (c *clause) add(condition string, args ...any) {
	c.conditions = append(c.conditions, condition)
	c.args = append(c.args, args...)
}

// equal wants one value in a column; "" wants any.
func (c *clause) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", value)
	}
}

// among wants one of several values in a column; none given wants any.
func among[T ~string](c *clause, column string, values []T) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	c.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")+")", args...)
}

// within wants an instant of a period in a column of seconds; an open end wants any.
func (c *clause) within(column string, time record.Period) {
	if time.Start != 0 {
		c.add(column+" >= ?", int64(time.Start))
	}
	if time.End != 0 {
		c.add(column+" < ?", int64(time.End))
	}
}

// where is the clause as SQL, to go behind the tables of a query.
func (c clause) where() string {
	if len(c.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.conditions, " AND ")
}
