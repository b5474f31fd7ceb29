package edgeskel.sample

import edgeskel.Frame

/**
 * From MediaPipe's world landmarks to a frame of the bundle's topology.
 *
 * @param joints of the bundle's manifest. One that MediaPipe does not have stays missing.
 */
class PoseJoints(joints: List<String>) {
    private val recipes = joints.map { LANDMARKS[it] ?: intArrayOf() }

    /**
     * @param world 33 * 3 metres about the middle of the hips: x right in the picture, y down, z away from the camera.
     * @param visibility 33 shares, 0 to 1.
     */
    fun frame(time: Double, world: FloatArray, visibility: FloatArray): Frame {
        val joints = FloatArray(3 * recipes.size)
        val confidence = FloatArray(recipes.size)
        for ((joint, recipe) in recipes.withIndex()) {
            var trust = if (recipe.isEmpty()) 0f else 1f
            for (landmark in recipe) trust = Math.min(trust, visibility[landmark])
            if (trust <= 0f) continue
            confidence[joint] = trust
            for (axis in 0..2) {
                var sum = 0f
                for (landmark in recipe) sum += world[3 * landmark + axis]
                joints[3 * joint + axis] = SIGNS[axis] * sum / recipe.size
            }
        }
        return Frame(time, joints, confidence)
    }

    private companion object {
        val SIGNS = floatArrayOf(-1f, -1f, 1f) // to x left, y up, z away
    }
}
