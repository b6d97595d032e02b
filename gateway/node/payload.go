package node

import (
	"net/http"

	"google.golang.org/grpc"

	"yitong/gateway/api"
	"yitong/gateway/payload"
)

// payloads are the mounts of large contents.
func payloads() []api.Mount {
	return []api.Mount{
		{Path: "/contents/", Streams: payload.Streams, New: func(c grpc.ClientConnInterface) http.Handler { return payload.NewContents(c, api.Problem) }},
		{Path: "/uploads/", Streams: payload.Streams, New: func(c grpc.ClientConnInterface) http.Handler { return payload.NewUploads(c, api.Problem) }},
	}
}
