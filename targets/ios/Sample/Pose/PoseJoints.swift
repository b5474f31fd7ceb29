#if canImport(Edgeskel)
import Edgeskel
#endif

/// From MediaPipe's world landmarks to a frame of the bundle's topology.
struct PoseJoints {
    private let recipes: [[Int]]

    /// `joints` are those of the bundle's manifest. One that MediaPipe does not have stays missing.
    init(_ joints: [String]) {
        recipes = joints.map { landmarks[$0] ?? [] }
    }

    /// `world` holds 33 * 3 metres about the middle of the hips: x right in the picture, y down, z away from the camera.
    /// `visibility` holds 33 shares, 0 to 1.
    func frame(time: Double, world: [Float], visibility: [Float]) -> Frame {
        var joints = [Float](repeating: 0, count: 3 * recipes.count)
        var confidence = [Float](repeating: 0, count: recipes.count)
        for (joint, recipe) in recipes.enumerated() {
            let trust = recipe.map { visibility[$0] }.min() ?? 0
            if trust <= 0 { continue }
            confidence[joint] = min(trust, 1)
            for (axis, sign) in [Float(-1), -1, 1].enumerated() { // to x left, y up, z away
                joints[3 * joint + axis] = sign * recipe.reduce(0) { $0 + world[3 * $1 + axis] } / Float(recipe.count)
            }
        }
        return Frame(time: time, joints: joints, confidence: confidence)
    }
}
