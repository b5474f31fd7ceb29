// The vectors without Xcode: the platform-free files, this folder and Vectors.swift in one `swiftc` call. Files of vectors are compared;
// after `play` comes a file of live streams, whose events are printed.
import Foundation

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == "play" {
    let all = try JsonValue.read(Data(contentsOf: URL(fileURLWithPath: arguments[1])))
    for stream in all["streams"]!.items {
        let told = try Streams.play(stream, all["recordings"]!.items[stream["recording"]!.int])
        print(String(decoding: try JSONEncoder().encode(told), as: UTF8.self))
    }
    exit(0)
}
for path in arguments {
    do {
        let content = try Data(contentsOf: URL(fileURLWithPath: path))
        let landmarks = try poses(content)
        print("\(path): \(try Vectors.run(content) + landmarks) comparisons agree")
    } catch {
        print("\(path): \(error)")
        exit(1)
    }
}

/// The sample's way from MediaPipe's landmarks to a frame.
func poses(_ content: Data) throws -> Int {
    let items = try JsonValue.read(content)["landmarks"]?.items ?? []
    for item in items {
        let pose = PoseJoints(item["joints"]!.items.map { $0.string! })
        let frame = pose.frame(time: item["frame"]!["time"]!.double, world: item["world"]!.floats,
                               visibility: item["visibility"]!.floats)
        try Vectors.near("joints of a pose", item["frame"]!["joints"]!.floats, frame.joints)
        try Vectors.near("confidence of a pose", item["frame"]!["confidence"]!.floats, frame.confidence)
    }
    return items.count
}
