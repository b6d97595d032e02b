package share

func init() { Buckets = append(Buckets, bucketEvaluate) }
