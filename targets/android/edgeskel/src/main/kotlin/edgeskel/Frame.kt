package edgeskel

/**
 * The joints of all persons at one instant.
 *
 * Axes: P persons, V joints; arrays are flat, the last axis fastest. P may change from frame to frame, and the persons may stand in any
 * order.
 *
 * @param time seconds on the source's clock.
 * @param joints P * V * 3 metres, right-handed, y up; a missing joint may hold anything.
 * @param confidence P * V, 0 is missing and 1 is certain.
 */
class Frame(val time: Double, val joints: FloatArray, val confidence: FloatArray) {
    /** One of the persons alone. */
    internal fun person(index: Int, joints: Int) = Frame(
        time, this.joints.copyOfRange(index * joints * 3, (index + 1) * joints * 3),
        confidence.copyOfRange(index * joints, (index + 1) * joints)
    )

    /** Whether a joint of this person is seen. */
    internal fun seen(person: Int, joints: Int) = (person * joints until (person + 1) * joints).any { confidence[it] > 0f }
}

/** The app gave something that breaks the contract; the message says what. */
class BadInput(message: String) : IllegalArgumentException(message)

/** The manifest or a file of the bundle is not what it should be; the message says what to do. */
class BadBundle(message: String) : RuntimeException(message)
