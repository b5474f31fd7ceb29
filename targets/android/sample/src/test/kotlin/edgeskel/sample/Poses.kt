package edgeskel.sample

import edgeskel.Vectors.floats
import edgeskel.Vectors.objects
import edgeskel.Vectors.texts
import java.io.File
import kotlin.system.exitProcess
import org.json.JSONObject

/** Holds [PoseJoints] against the golden vectors, as `edgeskel.Vectors` does with the package. */
fun main(arguments: Array<String>) {
    for (case in JSONObject(File(arguments[0]).readText(Charsets.UTF_8)).objects("landmarks")) {
        val expected = case.getJSONObject("frame")
        val seen = PoseJoints(case.texts("joints"))
            .frame(expected.getDouble("time"), case.floats("world"), case.floats("visibility"))
        for ((want, got) in listOf(expected.floats("joints") to seen.joints, expected.floats("confidence") to seen.confidence)) {
            if (want.size != got.size || want.indices.any { Math.abs(want[it] - got[it]) > 1e-6f }) {
                println("a pose: expected ${want.toList()}, seen ${got.toList()}")
                exitProcess(1)
            }
        }
    }
    println("the poses agree")
}
