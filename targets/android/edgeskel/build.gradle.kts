plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "edgeskel.android" // of two parts at least: aapt2 takes no other package name
    compileSdk = 35
    defaultConfig { minSdk = 24 } // java.util.stream of String.codePoints
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    api("org.pytorch:executorch-android:${property("executorchVersion")}")
    testImplementation("junit:junit:4.13.2")
    testImplementation("org.json:json:20240303") // Android's own is a stub in local tests
}
