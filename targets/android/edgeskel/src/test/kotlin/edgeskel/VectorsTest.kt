package edgeskel

import org.junit.Assert.assertTrue
import org.junit.Test

/** The same vectors under Gradle: ./gradlew :edgeskel:test */
class VectorsTest {
    @Test
    fun golden() {
        val text = javaClass.getResource("/golden.json").readText(Charsets.UTF_8)
        assertTrue(Vectors.run(text) > 0)
    }
}
