// The vectors without Xcode: the platform-free files, this folder and Vectors.swift in one `swiftc` call.
import Foundation

for path in CommandLine.arguments.dropFirst() {
    do {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let landmarks = try poses(text)
        print("\(path): \(try Vectors.run(text) + landmarks) comparisons agree")
    } catch {
        print("\(path): \(error)")
        exit(1)
    }
}

/// The sample's way from MediaPipe's landmarks to a frame.
func poses(_ text: String) throws -> Int {
    guard let items = try Json.read(text)["landmarks"]?.items else { return 0 }
    for item in items {
        let pose = PoseJoints(item["joints"]!.items.map { $0.string! })
        let frame = pose.frame(time: item["frame"]!["time"]!.double, world: item["world"]!.floats,
                               visibility: item["visibility"]!.floats)
        try Vectors.near("joints of a pose", item["frame"]!["joints"]!.floats, frame.joints)
        try Vectors.near("confidence of a pose", item["frame"]!["confidence"]!.floats, frame.confidence)
    }
    return items.count
}
