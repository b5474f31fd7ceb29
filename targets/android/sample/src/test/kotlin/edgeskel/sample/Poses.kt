package edgeskel.sample

import edgeskel.Json
import edgeskel.Vectors.double
import edgeskel.Vectors.floats
import edgeskel.Vectors.list
import edgeskel.Vectors.table
import java.io.File
import kotlin.system.exitProcess

/** Holds [PoseJoints] against the golden vectors, as `edgeskel.Vectors` does with the package. */
fun main(arguments: Array<String>) {
    for (case in Json.read(File(arguments[0]).readText(Charsets.UTF_8)).table()["landmarks"].list().map { it.table() }) {
        val expected = case["frame"].table()
        val seen = PoseJoints(case["joints"].list().map { it as String })
            .frame(expected["time"].double(), case["world"].floats(), case["visibility"].floats())
        for ((want, got) in listOf(expected["joints"].floats() to seen.joints, expected["confidence"].floats() to seen.confidence)) {
            if (want.size != got.size || want.indices.any { Math.abs(want[it] - got[it]) > 1e-6f }) {
                println("a pose: expected ${want.toList()}, seen ${got.toList()}")
                exitProcess(1)
            }
        }
    }
    println("the poses agree")
}
