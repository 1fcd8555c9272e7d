// Command gen writes node.pb.go and node.connect.go from node.proto. The
// compiler is a library and the plugins are tools of this module, so that no
// protoc of some other version has a say.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const source = "node.proto"

func main() {
	log.SetFlags(0)
	file, err := compile()
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range []struct{ tool, parameter string }{
		{"protoc-gen-go", "paths=source_relative"},
		{"protoc-gen-connect-go", "paths=source_relative,package_suffix,simple"},
	} {
		if err := generate(p.tool, p.parameter, file); err != nil {
			log.Fatal(err)
		}
	}
}

// compile parses the source with its comments.
func compile() (*descriptorpb.FileDescriptorProto, error) {
	c := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), source)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", source, err)
	}
	return protoutil.ProtoFromFileDescriptor(files[0]), nil
}

// generate has one plugin make its files.
func generate(tool, parameter string, file *descriptorpb.FileDescriptorProto) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{source},
		Parameter:      &parameter,
		ProtoFile:      []*descriptorpb.FileDescriptorProto{file},
	})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	cmd := exec.Command("go", "tool", tool)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(request), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run %s: %w", tool, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return fmt.Errorf("decode answer of %s: %w", tool, err)
	}
	if response.Error != nil {
		return fmt.Errorf("run %s: %s", tool, response.GetError())
	}
	return write(response.File)
}

func write(files []*pluginpb.CodeGeneratorResponse_File) error {
	for _, f := range files {
		if err := os.WriteFile(filepath.Base(f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
