import SwiftUI

@main
struct SampleApp: App {
    @StateObject private var watcher = Watcher()

    var body: some Scene {
        WindowGroup {
            ZStack(alignment: .bottom) {
                CameraView(session: watcher.session).ignoresSafeArea()
                Text(watcher.words).font(.title).padding().frame(maxWidth: .infinity).background(.thinMaterial)
            }
            .task { await watcher.start() }
        }
    }
}
